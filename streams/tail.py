"""Read topics from outside any consumer group: the terminal, the demo and the checks look on without taking part."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from schemas.errors import BrokerUnavailable
from streams import clients
from streams.record import Record
from streams.settings import Kafka

_POLL_S = 0.2
_METADATA_S = 10.0


def tail(
    kafka: Kafka,
    topics: Sequence[str],
    *,
    stop: Callable[[], bool] = lambda: False,
    from_beginning: bool = True,
    to_end: bool = False,
    since: datetime | None = None,
    starts: Mapping[str, Mapping[int, int]] | None = None,
    caught_up: Callable[[], None] | None = None,
) -> Iterator[Record]:
    """Yield records of all partitions of ``topics`` (logical names; missing ones are passed over) until ``stop()`` is true, or, with
    ``to_end``, until the end of each partition has been seen once. ``since``: records of this instant (their Kafka timestamp) and later.
    ``starts``: by topic and partition, the offset to begin at; where it is gone, at the beginning.
    ``caught_up`` is called once, when the end of each partition has been seen; what comes later is new.

    Commits nothing. Order holds within a partition only.

    Raises:
        BrokerUnavailable: no metadata within ten seconds.
    """
    consumer = Consumer(
        {
            **clients.librdkafka(kafka, client_id="wardstream-tail"),
            "group.id": f"{kafka.group_prefix}tail",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 100,
            "enable.partition.eof": to_end or caught_up is not None,
        },
        logger=logging.getLogger("librdkafka"),
    )
    start = OFFSET_BEGINNING if from_beginning else OFFSET_END
    try:
        try:
            known = consumer.list_topics(timeout=_METADATA_S).topics
        except KafkaException:
            raise BrokerUnavailable(detail="no metadata") from None
        wanted = [kafka.topic_prefix + topic for topic in topics]
        partitions = [TopicPartition(t, p, start) for t in wanted if t in known for p in known[t].partitions]
        for partition in partitions:
            first = (starts or {}).get(partition.topic.removeprefix(kafka.topic_prefix), {}).get(partition.partition)
            if first is not None:
                partition.offset = first
        if since is not None and partitions:
            for partition in partitions:
                partition.offset = int(since.timestamp() * 1000)
            try:
                partitions = clients.answered(partial(consumer.offsets_for_times, partitions, timeout=_METADATA_S))
            except KafkaException:
                raise BrokerUnavailable(detail="no offsets") from None
        consumer.assign(partitions)
        ended: set[tuple[str | None, int | None]] = set()
        while not stop() and not (to_end and len(ended) == len(partitions)):
            message = consumer.poll(_POLL_S)
            if message is None:
                continue
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    ended.add((message.topic(), message.partition()))
                    if caught_up is not None and len(ended) == len(partitions):
                        caught_up()
                        caught_up = None
                if error.code() in (KafkaError._PARTITION_EOF, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
                    continue
                raise BrokerUnavailable(detail=str(error.name()))
            _, timestamp = message.timestamp()
            yield Record(
                topic=str(message.topic()).removeprefix(kafka.topic_prefix),
                partition=message.partition() or 0,
                offset=message.offset() or 0,
                timestamp=timestamp,
                key=_bytes(message.key()),
                value=_bytes(message.value()),
                headers=tuple((name, _bytes(value) or b"") for name, value in message.headers() or ()),
            )
    finally:
        consumer.close()


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
