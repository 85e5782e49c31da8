"""The small parts of the stream, each for itself: dead letters, commit age, logs, health, exit codes, topics, client settings."""

from __future__ import annotations

import io
import json
import logging
import sys
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas.errors import (
    BrokerUnavailable,
    ConfigurationError,
    MalformedMessage,
    PrivacyViolation,
    Reason,
    StoreUnavailable,
)
from streams import admin, clients, dead_letters, kafka_local, logs, runner, topics
from streams.faust_app import group_id
from streams.health import Health, HealthServer
from streams.metrics import StreamMetrics
from streams.record import Record
from streams.settings import Kafka
from streams.watchdog import CommitAge


def test_a_dead_letter_is_the_record_plus_codes() -> None:
    """Key, value and headers stay; reason, path, attempts and origin are added."""
    record = Record("phi.x.v1", 3, 42, 1_700_000_000_000, b"key", b"value", (("ce_id", b"1"), ("ce_id", b"2")))
    letter = dead_letters.make(record, MalformedMessage(Reason.MALFORMED_HL7, path="PID-3"), stage="deidentify", attempts=2)
    assert (letter.topic, letter.key, letter.value) == ("phi.x.v1.dlq", b"key", b"value")
    assert letter.headers[:2] == record.headers
    assert dict(letter.headers[2:]) == {
        "x-error-code": b"malformed_hl7",
        "x-error-field": b"PID-3",
        "x-attempts": b"2",
        "x-stage": b"deidentify",
        "x-original-topic": b"phi.x.v1",
        "x-original-partition": b"3",
        "x-original-offset": b"42",
        "x-original-timestamp": b"1700000000000",
    }


def test_a_redriven_record_that_fails_again_carries_one_set_of_codes() -> None:
    """The codes of an earlier refusal are replaced, and a redrive can send exactly what came first."""
    first = dead_letters.make(Record("t", 0, 1, 0, b"k", b"v", (("a", b"b"),)), MalformedMessage(), stage="s", attempts=1)
    again = dead_letters.make(Record("t", 0, 9, 0, b"k", b"v", first.headers), MalformedMessage(), stage="s", attempts=1)
    assert [name for name, _ in again.headers].count("x-error-code") == 1
    assert dict(again.headers)["x-original-offset"] == b"9"
    assert dead_letters.original_headers(again.headers) == (("a", b"b"),)


def test_commit_age_counts_only_partitions_with_unread_records() -> None:
    """Idle is not stuck; progress resets; a partition that left is forgotten."""
    age = CommitAge()
    age.observe(("t", 0), committed=5, end=5, now=0)
    age.observe(("t", 1), committed=5, end=9, now=0)
    assert age.age(30) == 30
    age.observe(("t", 1), committed=6, end=9, now=30)
    assert age.age(40) == 10
    age.observe(("t", 0), committed=5, end=6, now=100)
    assert age.age(100) == 70
    age.keep([("t", 0)])
    assert age.age(130) == 30
    age.observe(("t", 0), committed=6, end=6, now=131)
    assert age.age(500) == 0


def _logged(write: str) -> list[dict[str, object]]:
    out = io.StringIO()
    hook, handlers, level = sys.excepthook, logging.getLogger().handlers[:], logging.getLogger().level
    try:
        log = logs.configure("json", "INFO", stream=out)
        if write == "own":
            log.info("event", stage="extract", value="Jane Roe", key=b"k", count=3, partitions=[1, 2], path=object())
        else:
            logging.getLogger("aiokafka.consumer").warning("cannot read %r", "MRN 12345")
            logging.getLogger("faust").info("below the threshold")
            try:
                raise ValueError("MRN 12345")
            except ValueError:
                logging.getLogger("faust").exception(f"failed on {'MRN 12345'}")
    finally:
        sys.excepthook = hook
        logging.getLogger().handlers[:] = handlers
        logging.getLogger().setLevel(level)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_own_log_fields_that_are_not_listed_are_dropped() -> None:
    """Only listed keys with plain values reach a log line."""
    (line,) = _logged("own")
    assert {key for key in line if key not in {"timestamp", "level"}} == {"event", "stage", "count", "partitions"}


def test_library_logs_lose_their_arguments_and_texts() -> None:
    """What a library says about a record stays out; where it said it, and the template, remain."""
    lines = _logged("library")
    assert len(lines) == 2
    assert "12345" not in json.dumps(lines)
    assert lines[0]["template"] == "cannot read %r"
    assert lines[1]["error_type"] == "ValueError"
    assert str(lines[1]["where"]).startswith("test_streams_parts.py:")


def test_an_exception_is_described_by_type_and_place() -> None:
    """Never by its text."""
    try:
        int("MRN 12345")
    except ValueError as error:
        told = logs.describe(error)
    assert told["error_type"] == "ValueError"
    assert told["where"].startswith("test_streams_parts.py:")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PrivacyViolation(), 77),
        (ConfigurationError(), 78),
        (BrokerUnavailable(), 75),
        (StoreUnavailable(), 75),
        (RuntimeError("bug"), 70),
    ],
)
def test_the_exit_code_says_what_to_do(error: Exception, code: int) -> None:
    """Restart later, restart, or do not restart."""
    assert runner.exit_code(error) == code


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_health_tells_live_ready_and_metrics() -> None:
    """Not ready names what is missing; a taken port is a configuration error."""
    health, metrics = Health({"assignment"}), StreamMetrics()
    metrics.received.labels("extract").inc(3)
    server = HealthServer("127.0.0.1", 0, health, metrics.registry)
    server.start()
    try:
        url = f"http://127.0.0.1:{server.port}"
        assert _get(f"{url}/livez")[0] == 200
        assert _get(f"{url}/readyz") == (503, "waiting: assignment\n")
        health.waiting.clear()
        assert _get(f"{url}/readyz")[0] == 200
        assert 'wardstream_records_received_total{stage="extract"} 3.0' in _get(f"{url}/metrics")[1]
        assert _get(f"{url}/else")[0] == 404
        with pytest.raises(ConfigurationError):
            HealthServer("127.0.0.1", server.port, health, metrics.registry)
    finally:
        server.stop()


def test_dead_letter_topics_inherit_from_their_topic() -> None:
    """Same partitions and retention; never compacted; and every topic of the table appears once."""
    rows = {row.name: row for row in admin.wanted(Kafka(topic_prefix="p.", partitions=3, replication_factor=2))}
    received, letters = rows[f"p.{topics.RECEIVED}"], rows[f"p.{topics.RECEIVED}.dlq"]
    assert received.partitions == letters.partitions == 3
    assert received.replication_factor == 2
    assert received.config["retention.ms"] == letters.config["retention.ms"] == str(7 * topics.DAY)
    assert rows[f"p.{topics.MODEL}"].config["cleanup.policy"] == "compact"
    assert rows[f"p.{topics.MODEL}"].partitions == 1
    assert f"p.{topics.AUDIT}.dlq" not in rows
    assert len(rows) == len(topics.TOPICS) + sum(topic.dead_letters for topic in topics.TOPICS)


def test_group_ids_do_not_depend_on_code() -> None:
    """Prefixes and the stage name, nothing else: moving a module must not start a group anew."""
    assert group_id(Kafka(), "extract") == "wardstream-extract"
    assert group_id(Kafka(topic_prefix="shadow."), "extract") == "shadow.wardstream-extract"


def test_security_settings_reach_both_clients(tmp_path: Path) -> None:
    """SASL over TLS is passed on; a missing password file is named, its content never."""
    secret = tmp_path / "password"
    secret.write_text("s3cret\n")
    kafka = Kafka(security_protocol="SASL_SSL", sasl_username="worker", sasl_password_file=secret)
    config = clients.librdkafka(kafka, client_id="x")
    assert (config["sasl.username"], config["sasl.password"]) == ("worker", "s3cret")
    assert clients.faust_credentials(kafka) is not None
    assert clients.faust_credentials(Kafka()) is None
    with pytest.raises(ConfigurationError, match="sasl_password_file"):
        clients.librdkafka(kafka.model_copy(update={"sasl_password_file": tmp_path / "absent"}), client_id="x")
    with pytest.raises(ConfigurationError, match="sasl_username"):
        clients.librdkafka(kafka.model_copy(update={"sasl_username": None}), client_id="x")


def test_a_partition_between_two_leaders_is_asked_again() -> None:
    """Until it has a leader, or the time is over; any other error is told at once."""
    moving, gone = (KafkaException(KafkaError(code)) for code in (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError._TRANSPORT))
    answers: list[KafkaException | int] = [moving, moving, 7]

    def ask() -> int:
        answer = answers.pop(0)
        if isinstance(answer, KafkaException):
            raise answer
        return answer

    assert clients.answered(ask) == 7
    answers[:] = [moving]
    with pytest.raises(KafkaException):
        clients.answered(ask, timeout_s=0)
    answers[:] = [gone, 7]
    with pytest.raises(KafkaException):
        clients.answered(ask)
    assert answers == [7]


def test_a_cluster_id_is_no_option() -> None:
    """Whatever the random number: 22 characters, and the formatting tool cannot take the first for the start of an option."""
    for first in range(256):
        found = kafka_local.cluster_id(uuid.UUID(bytes=bytes((first, *range(15)))))
        assert len(found) == 22
        assert found[0].isalpha()
