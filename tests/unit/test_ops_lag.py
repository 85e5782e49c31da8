"""``wardstream lag`` against a broker: what it says is what stands in the log and in the groups."""

from __future__ import annotations

import json
import time
import uuid

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Consumer, Producer, TopicPartition

from ops.cli import cli
from streams import admin, topics
from streams.faust_app import group_id
from streams.settings import Kafka

NOW_MS = int(time.time() * 1000)
OLD_S, YOUNG_S = 7200, 120


@pytest.fixture
def kafka(any_broker: str, monkeypatch: pytest.MonkeyPatch) -> Kafka:
    """An installation of its own, two partitions a topic, its address in the environment."""
    prefix = f"t{uuid.uuid4().hex[:10]}."
    monkeypatch.setenv("WARDSTREAM_KAFKA__BOOTSTRAP", any_broker)
    monkeypatch.setenv("WARDSTREAM_KAFKA__TOPIC_PREFIX", prefix)
    return Kafka(bootstrap=any_broker, topic_prefix=prefix, partitions=2)


def _lag(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["lag", *arguments], catch_exceptions=False)


def _rows(*arguments: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in _lag("--json", *arguments).stdout.splitlines()]


def _fill(kafka: Kafka) -> None:
    """Partition 0: five records of two hours ago, two of which are done, and one of two minutes ago. Partition 1: all done."""
    admin.apply(kafka)
    name = kafka.topic_prefix + topics.READY
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for partition, age_s in [*[(0, OLD_S)] * 5, (0, YOUNG_S), (1, 0)]:
        producer.produce(name, b"x", partition=partition, timestamp=NOW_MS - age_s * 1000)
        assert producer.flush(20) == 0  # one a request: the embedded broker counts requests, not records, into its end offset
    reader = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": group_id(kafka, "extract")})
    reader.commit(offsets=[TopicPartition(name, 0, 2), TopicPartition(name, 1, 1)], asynchronous=False)
    reader.close()


def test_lag_is_end_minus_committed_by_partition(kafka: Kafka) -> None:
    """Each partition of the stage stands with its committed offset, its end and the records between them."""
    _fill(kafka)
    rows = _rows("extract", "--no-ages")
    assert [(row["stage"], row["partition"], row["committed"], row["end"], row["lag"]) for row in rows] == [
        ("extract", 0, 2, 6, 4),
        ("extract", 1, 1, 1, 0),
    ]
    assert {row["topic"] for row in rows} == {topics.READY}
    assert all(row["oldest_s"] is None for row in rows)


@pytest.mark.kafka
def test_age_is_that_of_the_first_unread_record(real_kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The age follows the committed offset, within 5 %, and a partition without lag has none."""
    kafka = Kafka(bootstrap=real_kafka, topic_prefix=f"t{uuid.uuid4().hex[:10]}.", partitions=2)
    monkeypatch.setenv("WARDSTREAM_KAFKA__BOOTSTRAP", real_kafka)
    monkeypatch.setenv("WARDSTREAM_KAFKA__TOPIC_PREFIX", kafka.topic_prefix)
    _fill(kafka)
    first, second = _rows("extract")
    assert first["oldest_s"] == pytest.approx(OLD_S + time.time() - NOW_MS / 1000, rel=0.06)
    assert second["oldest_s"] is None
    reader = Consumer({"bootstrap.servers": real_kafka, "group.id": group_id(kafka, "extract")})
    reader.commit(offsets=[TopicPartition(kafka.topic_prefix + topics.READY, 0, 5)], asynchronous=False)
    reader.close()
    first, _ = _rows("extract")
    assert first["oldest_s"] == pytest.approx(YOUNG_S + time.time() - NOW_MS / 1000, rel=0.06)


def test_a_stage_that_never_ran_has_committed_nothing(kafka: Kafka) -> None:
    """Without a committed offset all records are lag, and the table shows a dash."""
    _fill(kafka)
    rows = _rows("deidentify", "--no-ages")
    assert {row["committed"] for row in rows} == {None}
    assert "-" in _lag("deidentify", "--no-ages").stdout


def test_missing_topics_are_named(kafka: Kafka) -> None:
    """Before the topics exist the command says which stages have none, and what to do."""
    result = _lag("--no-ages")
    assert result.exit_code == 0
    assert "deidentify" in result.stderr
    assert "wardstream topics apply" in result.stderr


def test_a_broker_out_of_reach_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is no lag table: the error carries the reason code."""
    from schemas.errors import BrokerUnavailable

    monkeypatch.setenv("WARDSTREAM_KAFKA__BOOTSTRAP", "127.0.0.1:9")
    monkeypatch.setattr("streams.admin.TIMEOUT_S", 1.0)
    with pytest.raises(BrokerUnavailable):
        _lag()
