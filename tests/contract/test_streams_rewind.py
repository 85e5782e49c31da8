"""A stopped group is set back on real Kafka, and only a stopped one."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.errors import ConfigurationError
from streams.rewind import Target, apply, plan
from streams.settings import Kafka

pytestmark = pytest.mark.kafka


@pytest.fixture
def processed(real_kafka: str) -> tuple[Kafka, str, str]:
    """A topic with ten records a second apart, all committed by a group that has left."""
    topic, group = f"rewind-{uuid.uuid4().hex[:8]}", f"group-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": real_kafka})
    admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])[topic].result(20)
    producer = Producer({"bootstrap.servers": real_kafka})
    for second in range(10):
        producer.produce(topic, value=b"x", timestamp=1_700_000_000_000 + 1000 * second)
    producer.flush(20)
    consumer = Consumer({"bootstrap.servers": real_kafka, "group.id": group, "enable.auto.commit": False})
    consumer.commit(offsets=[TopicPartition(topic, 0, 10)], asynchronous=False)
    consumer.close()
    return Kafka(bootstrap=real_kafka), topic, group


def committed(kafka: Kafka, group: str, topic: str) -> int:
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": group, "enable.auto.commit": False})
    (answer,) = consumer.committed([TopicPartition(topic, 0)], timeout=20)
    consumer.close()
    return int(answer.offset)


@pytest.mark.parametrize(
    ("target", "offset"),
    [
        (Target(beginning=True), 0),
        (Target(instant=datetime.fromtimestamp(1_700_000_004, UTC)), 4),
        (Target(offsets={0: 7}), 7),
        (Target(offsets={0: -5}), 0),
    ],
)
def test_a_stopped_group_is_set_where_it_was_told(processed: tuple[Kafka, str, str], target: Target, offset: int) -> None:
    """The plan changes nothing; applying it commits the planned offset, clamped to what the log holds."""
    kafka, topic, group = processed
    moves = plan(kafka, group, topic, target)
    assert [(move.before, move.after) for move in moves] == [(10, offset)]
    assert committed(kafka, group, topic) == 10
    apply(kafka, group, topic, moves)
    assert committed(kafka, group, topic) == offset
    assert plan(kafka, group, topic, target) == []


def test_a_group_with_members_is_refused(processed: tuple[Kafka, str, str]) -> None:
    """While a worker runs, its offsets are its own."""
    kafka, topic, group = processed
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": group})
    consumer.subscribe([topic])
    for _ in range(50):
        consumer.poll(0.2)
        if consumer.assignment():
            break
    try:
        with pytest.raises(ConfigurationError, match="has members"):
            plan(kafka, group, topic, Target(beginning=True))
    finally:
        consumer.close()
