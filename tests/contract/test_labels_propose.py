"""``wardstream labels propose``: notes on which a shadow's models and the published ones differ, on a real broker and Redis."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from ops.cli import cli
from ops.operators import account
from schemas.envelope import JSON, DataClass, Envelope
from schemas.findings import Findings
from schemas.flags import Decision
from schemas.ids import derived_id
from schemas.samples import Sample
from streams import admin, topics
from streams.replay import shadow
from streams.settings import Kafka
from tests.support.decide import findings, note
from tests.support.streams_site import Site

LEAKING = "Zorbanol for gout. Call Mr. John Smith, 555-867-5309."


def put(kafka: Kafka, *messages: Findings) -> None:
    log = Producer({"bootstrap.servers": kafka.bootstrap})
    for message in messages:
        decision = Decision(id=derived_id(message.origin, "decide"), findings=message)
        headers = Envelope(
            id=decision.id, source="/t", type="t", time=message.time, content_type=JSON, data_class=DataClass.INTERNAL, origin=message.origin
        ).headers()  # fmt: skip
        log.produce(kafka.topic_prefix + topics.RAISED, value=msgspec.json.encode(decision), headers=list(headers))
    assert log.flush(20) == 0


def message(number: int, text: str, *words: str) -> Findings:
    return findings(number, 0, **note(text, *((word, "medication", None) for word in words)), subject=f"W{number:014d}")


def test_where_champion_and_challenger_differ(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The notes that differ most, once, past the leak check and the role; what both say alike is left."""
    kafka = site.settings.kafka
    for name, value in site.environment().items():
        monkeypatch.setenv(name, value)
    tables = [topics.BY_NAME[name] for name in (topics.RAISED, topics.SAMPLE, topics.AUDIT)]
    for target in (kafka, shadow(kafka, "next")):
        admin.Admin(target).apply(admin.wanted(target, tables))
    text = "Zorbanol and metformin for gout."
    put(
        kafka,
        message(1, text, "Zorbanol"),
        message(2, text, "Zorbanol"),
        message(3, text, "Zorbanol"),
        message(4, LEAKING, "Zorbanol"),
    )
    put(
        shadow(kafka, "next"),
        message(1, text, "Zorbanol"), message(2, text, "Zorbanol", "metformin"), message(3, text, "metformin"), message(4, LEAKING),
    )  # fmt: skip
    run = lambda *rest: CliRunner().invoke(cli, ["labels", "propose", "next", *rest])  # noqa: E731
    assert run().exit_code == 1
    monkeypatch.setenv("WARDSTREAM_OPERATORS__REDRIVE", json.dumps([account()]))
    done = run("--most", "1")
    assert (done.exit_code, done.stdout) == (0, "1 of 3 notes that differ proposed\n1 withheld: leak\n"), done.output
    (record,) = site.read(topics.SAMPLE, at_least=1)
    sample = msgspec.json.decode(record.value() or b"", type=Sample)
    assert (sample.subject, sample.reason, sample.why) == (
        "W00000000000003",
        "disagreement",
        ("disagreement: challenger adds 1, loses 1",),
    )
    assert "2 of 3" in run().stdout
    assert len({row.key() for row in site.read(topics.SAMPLE, at_least=3)}) == 2
    entries = [json.loads(row.value() or b"") for row in site.read(topics.AUDIT, at_least=3)]
    assert sorted((entry["action"], entry["outcome"]) for entry in entries) == [
        ("replay", "failure"),
        *[("replay", "success")] * 2,
    ]
