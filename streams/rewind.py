"""Set the committed offsets of a stopped consumer group, so that its stage processes a range again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.errors import BrokerUnavailable, ConfigurationError
from streams import clients
from streams.settings import Kafka

_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Move:
    """One partition's committed offset before (``None``: none yet) and after."""

    partition: int
    before: int | None
    after: int


@dataclass(frozen=True, slots=True)
class Target:
    """Exactly one is set: the log's beginning, an instant (record timestamps), or offsets by partition."""

    beginning: bool = False
    instant: datetime | None = None
    offsets: Mapping[int, int] | None = None


def plan(kafka: Kafka, group: str, topic: str, target: Target) -> list[Move]:
    """What ``apply`` would change, clamped to what the log still holds; partitions already there are left out.

    Raises:
        ConfigurationError: the group has members (stop its workers first), or the topic does not exist.
        BrokerUnavailable: no answer within ten seconds.
    """
    name = kafka.topic_prefix + topic
    reader = Consumer(
        {**clients.librdkafka(kafka, client_id="wardstream-rewind"), "group.id": group, "enable.auto.commit": False},
        logger=logging.getLogger("librdkafka"),
    )
    try:
        _refuse_members(kafka, group)
        found = reader.list_topics(name, timeout=_TIMEOUT_S).topics[name]
        if not found.partitions:
            raise ConfigurationError(path=topic, detail="the topic does not exist")
        partitions = [TopicPartition(name, number) for number in sorted(found.partitions)]
        before = {p.partition: p.offset for p in reader.committed(partitions, timeout=_TIMEOUT_S)}
        moves = []
        for partition in partitions:
            low, high = clients.answered(partial(reader.get_watermark_offsets, partition, timeout=_TIMEOUT_S))
            wanted = _wanted(reader, name, partition.partition, target, low, high)
            old = before[partition.partition]
            if wanted is not None and wanted != old:
                moves.append(Move(partition.partition, None if old < 0 else old, wanted))
        return moves
    except KafkaException as error:
        raise BrokerUnavailable(path=topic, detail=str(error.args[0].name())) from None
    finally:
        reader.close()


def apply(kafka: Kafka, group: str, topic: str, moves: list[Move]) -> None:
    """Commit the planned offsets; same errors as ``plan``."""
    _refuse_members(kafka, group)
    offsets = [TopicPartition(kafka.topic_prefix + topic, move.partition, move.after) for move in moves]
    admin = _admin(kafka)
    try:
        request = [ConsumerGroupTopicPartitions(group, offsets)]
        for future in admin.alter_consumer_group_offsets(request).values():
            future.result(timeout=_TIMEOUT_S)
    except FutureTimeout:
        raise BrokerUnavailable(path=group, detail="the broker does not set offsets") from None
    except KafkaException as error:
        raise BrokerUnavailable(path=group, detail=str(error.args[0].name())) from None


def _wanted(reader: Consumer, topic: str, partition: int, target: Target, low: int, high: int) -> int | None:
    if target.beginning:
        return low
    if target.instant is not None:
        query = TopicPartition(topic, partition, int(target.instant.timestamp() * 1000))
        (answer,) = clients.answered(partial(reader.offsets_for_times, [query], timeout=_TIMEOUT_S))
        return high if answer.offset < 0 else int(answer.offset)
    offset = (target.offsets or {}).get(partition)
    return None if offset is None else max(low, min(high, offset))


def _refuse_members(kafka: Kafka, group: str) -> None:
    admin = _admin(kafka)  # its answers die with it
    try:
        asked = admin.describe_consumer_groups([group], request_timeout=_TIMEOUT_S)[group]
        described = asked.result(timeout=_TIMEOUT_S + 1)
    except FutureTimeout:
        raise BrokerUnavailable(path=group, detail="the broker does not describe groups") from None
    except KafkaException:
        return  # a group that never committed is not known; there is nobody to disturb
    if described.members:
        raise ConfigurationError(path=group, detail="the group has members; stop its workers first")


def _admin(kafka: Kafka) -> AdminClient:
    return AdminClient(clients.librdkafka(kafka, client_id="wardstream-rewind"))
