"""Topics as they should be against topics as they are, and the lag of our groups. Never deletes, never changes partitions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from schemas.errors import BrokerUnavailable, ConfigurationError
from streams import clients, topics
from streams.faust_app import group_id
from streams.settings import Kafka

TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """One topic as it should be on the cluster; ``name`` is the wire name, prefix included."""

    name: str
    partitions: int
    replication_factor: int
    config: dict[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """``create``; ``configure`` (``detail`` names the settings); ``differs``: needs a person (partition count)."""

    action: str
    topic: str
    detail: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.action, self.topic, f"({self.detail})" if self.detail else "") if part)


@dataclass(frozen=True, slots=True)
class Lag:
    """Records between the committed offset and the end of one partition; ``committed`` None when nothing was committed."""

    group: str
    topic: str
    partition: int
    committed: int | None
    end: int

    @property
    def records(self) -> int:
        return max(0, self.end - (self.committed or 0))


#: An erased record must go from the segments too, and the active segment is never compacted: within a week of the erasure at most (with time
#: to spare in the month that GDPR Art. 12(3) allows), whether or not anybody writes.
_COMPACTED = {"max.compaction.lag.ms": str(7 * topics.DAY), "segment.ms": str(topics.DAY), "delete.retention.ms": str(topics.DAY)}


def wanted(kafka: Kafka, table: Iterable[topics.Topic] = topics.TOPICS) -> list[Wanted]:
    """What the topic table means under these settings; dead-letter topics inherit class, retention and partitions."""
    rows: list[Wanted] = []
    for topic in table:
        partitions = min(topic.partitions, kafka.partitions)
        names = [topic.name, *([topics.dead_letter(topic.name)] if topic.dead_letters else [])]
        for name in names:
            config = {
                "cleanup.policy": "delete" if name.endswith(".dlq") else topic.cleanup,
                "retention.ms": str(topic.retention_ms),
                "min.insync.replicas": str(kafka.min_insync_replicas),
                "max.message.bytes": str(kafka.max_record_bytes),
            }
            if "compact" in config["cleanup.policy"]:
                config |= _COMPACTED
            rows.append(Wanted(kafka.topic_prefix + name, partitions, kafka.replication_factor, config))
    return rows


def offsets_at(client: AdminClient, specs: Mapping[tuple[str, int], OffsetSpec]) -> dict[tuple[str, int], int]:
    """The offset that each spec means, by wire name and partition. Raises KafkaException."""
    asked = {TopicPartition(*place): spec for place, spec in specs.items()}

    def ask() -> dict[tuple[str, int], int]:
        answers = client.list_offsets(asked, request_timeout=TIMEOUT_S)
        # all are waited for: a client that goes away with answers outstanding can take the process along
        wait(answers.values(), TIMEOUT_S + 5)
        return {(place.topic, place.partition): int(future.result(TIMEOUT_S).offset) for place, future in answers.items()}

    return clients.answered(ask)


class Admin:
    """Blocking calls; every one ends within about ``TIMEOUT_S``."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._client = AdminClient({**clients.librdkafka(kafka, client_id="wardstream-admin"), "log_level": 3})

    def existing(self) -> dict[str, int]:
        """Wire names of all topics with our prefix and their partition counts. Raises BrokerUnavailable."""
        try:
            found = self._client.list_topics(timeout=TIMEOUT_S).topics
        except KafkaException as error:
            raise BrokerUnavailable(path="kafka.bootstrap", detail=error.args[0].name()) from None
        prefix = self._kafka.topic_prefix
        return {name: len(topic.partitions) for name, topic in sorted(found.items()) if name.startswith(prefix)}

    def plan(self, rows: Iterable[Wanted]) -> list[Change]:
        """What ``apply`` would do. Raises BrokerUnavailable."""
        rows, there = list(rows), self.existing()
        configs = self._configs([row.name for row in rows if row.name in there])
        changes: list[Change] = []
        for row in rows:
            if row.name not in there:
                changes.append(Change("create", row.name, f"{row.partitions} partitions"))
                continue
            if there[row.name] != row.partitions:
                changes.append(Change("differs", row.name, f"{there[row.name]} partitions, not {row.partitions}"))
            off = [name for name, value in row.config.items() if configs[row.name].get(name, value) != value]
            if off:
                changes.append(Change("configure", row.name, ", ".join(off)))
        return changes

    def apply(self, rows: Iterable[Wanted]) -> list[Change]:
        """Create what is missing and set what is configured otherwise; partition counts are left alone.

        Raises:
            BrokerUnavailable: no answer in time.
            ConfigurationError: the broker refused (permission, replication factor); ``path`` is the topic.
        """
        rows = list(rows)
        changes = self.plan(rows)
        create = {change.topic for change in changes if change.action == "create"}
        configure = {change.topic for change in changes if change.action == "configure"}
        new = [
            NewTopic(row.name, num_partitions=row.partitions, replication_factor=row.replication_factor, config=row.config)
            for row in rows
            if row.name in create
        ]
        if new:
            _settle(self._client.create_topics(new, request_timeout=TIMEOUT_S), fine=KafkaError.TOPIC_ALREADY_EXISTS)
        resources = [_resource(row) for row in rows if row.name in configure]
        if resources:
            answers = self._client.incremental_alter_configs(resources, request_timeout=TIMEOUT_S)
            _settle({resource.name: future for resource, future in answers.items()})
        return changes

    def lag(self, stages: Iterable[tuple[str, str]]) -> list[Lag]:
        """Lag of each ``(stage, topic read)``; topics that do not exist are left out. Raises BrokerUnavailable."""
        there, prefix = self.existing(), self._kafka.topic_prefix
        rows: list[Lag] = []
        for stage, reads in stages:
            name, group = prefix + reads, group_id(self._kafka, stage)
            places = [TopicPartition(name, number) for number in range(there.get(name, 0))]
            if not places:
                continue
            try:
                committed = clients.answered(partial(self._committed, group, places))
                ends = offsets_at(self._client, {(name, place.partition): OffsetSpec.latest() for place in places})
            except KafkaException as error:
                raise BrokerUnavailable(path=name, detail=error.args[0].name()) from None
            for place in places:
                offset = committed.get(place.partition, -1)
                rows.append(Lag(group, reads, place.partition, offset if offset >= 0 else None, ends[name, place.partition]))
        return sorted(rows, key=lambda row: (row.group, row.partition))

    def _committed(self, group: str, places: list[TopicPartition]) -> dict[int, int]:
        answer = self._client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)])
        return {place.partition: place.offset for place in answer[group].result(TIMEOUT_S).topic_partitions}

    def _configs(self, names: list[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        answers = self._client.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in names])
        try:
            return {
                resource.name: {entry.name: entry.value for entry in future.result(TIMEOUT_S).values()}
                for resource, future in answers.items()
            }
        except KafkaException as error:
            raise BrokerUnavailable(path="topics", detail=error.args[0].name()) from None


def lag(kafka: Kafka, stages: Iterable[tuple[str, str]]) -> list[Lag]:
    """Lag of each ``(stage, topic read)``. Raises BrokerUnavailable."""
    return Admin(kafka).lag(stages)


def plan(kafka: Kafka) -> list[Change]:
    """What ``apply`` would do. Raises BrokerUnavailable."""
    return Admin(kafka).plan(wanted(kafka))


def apply(kafka: Kafka) -> list[Change]:
    """Bring the cluster's topics to what the table says; what was changed. Raises as ``Admin.apply``."""
    return Admin(kafka).apply(wanted(kafka))


def _resource(row: Wanted) -> ConfigResource:
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in row.config.items()]
    return ConfigResource(ResourceType.TOPIC, row.name, incremental_configs=entries)


def _settle(answers: dict[str, Future[None]], *, fine: int | None = None) -> None:
    for name, future in answers.items():
        try:
            future.result(TIMEOUT_S + 5)
        except KafkaException as error:
            if error.args[0].code() == fine:
                continue
            if error.args[0].retriable() or error.args[0].code() in {KafkaError._TIMED_OUT, KafkaError._TRANSPORT}:
                raise BrokerUnavailable(path=name, detail=error.args[0].name()) from None
            raise ConfigurationError(path=name, detail=error.args[0].name()) from None
