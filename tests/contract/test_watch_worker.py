"""The stage ``watch`` as a process on both brokers, killed while it counts; and the report of what it found."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from agents.feedback.watch_store import open_store
from ops.cli import cli
from schemas.cards import CardFeedback
from schemas.drifts import Drift
from schemas.flags import Decision
from schemas.labels import ReviewedLabel, ReviewedSpan
from schemas.samples import Sample
from streams import admin, topics
from streams.settings import Settings
from streams.tail import tail
from tests.support.streams_site import ROOT, Site
from tests.support.watch import drawn, record

pytestmark = pytest.mark.timeout(300)
LEARN = 200


@pytest.fixture
def running(any_broker: str, redis_server: str, tmp_path: Path) -> Iterator[Site]:
    """One partition: what was sent later is counted later."""
    site = Site(any_broker, redis_server, tmp_path, partitions=1)
    kafka = site.settings.kafka
    admin.Admin(kafka).apply(admin.wanted(kafka))
    with site:
        yield site


def start(site: Site, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "agents.worker", "watch"],
            cwd=ROOT,
            env={**os.environ, **site.environment(), "WARDSTREAM_WATCH__LEARN": str(LEARN), "PYTHONPATH": str(ROOT)},
            stdout=sink,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    site._processes.append(process)
    return process


def post(settings: Settings, topic: str, rows: list[tuple[bytes, bytes, tuple[tuple[str, bytes], ...]]]) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap, "acks": "all", "log_level": 0})
    for key, value, headers in rows:
        producer.produce(settings.kafka.topic_prefix + topic, value, key=key, headers=list(headers))
        producer.poll(0)
    assert producer.flush(30) == 0


def decisions(count: int, seed: int, first: int, **changes: float) -> list[Decision]:
    chance = random.Random(seed)
    return [drawn(chance, first + number, **changes) for number in range(count)]  # type: ignore[arg-type]


def send(settings: Settings, rows: list[Decision]) -> None:
    made = [record(row) for row in rows]
    post(settings, topics.RAISED, [(b"W1", row.value or b"", tuple(row.headers)) for row in made])


def counted(settings: Settings) -> int:
    async def look() -> int:
        redis, store = open_store(settings)
        try:
            return max((count for _, count in await store.groups()), default=0)
        finally:
            await redis.aclose()

    return asyncio.run(look())


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def found(settings: Settings) -> list[Drift]:
    return [msgspec.json.decode(row.value or b"", type=Drift) for row in tail(settings.kafka, [topics.DRIFT], to_end=True)]


def test_kills_distort_nothing_and_lose_no_alarm(running: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice kill -9 while it counts: every message once, every beginning told under one id; the report and its page then say so."""
    settings, log = running.settings, running.directory / "watch.log"
    rows = [*decisions(LEARN + 100, 1, 0), *decisions(400, 2, 5000, score=0.75)]
    send(settings, rows)
    process = start(running, log)
    for share in (0.3, 0.6):
        until(lambda limit=share: counted(settings) >= limit * len(rows), log.read_text())  # type: ignore[misc]
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = start(running, log)
    until(lambda: counted(settings) == len(rows) and len(found(settings)) >= 2, log.read_text())
    assert running.stop(process) == 0
    assert counted(settings) == len(rows)
    told = {row.id: row for row in found(settings)}
    assert sorted((row.feature, row.department, row.state) for row in told.values()) == [
        ("confidence", "", "begun"), ("confidence", "D1", "begun"),
    ]  # fmt: skip
    assert not list(tail(settings.kafka, [topics.dead_letter(topics.RAISED)], to_end=True))

    for name, value in {**running.environment(), "WARDSTREAM_WATCH__LEARN": str(LEARN)}.items():
        monkeypatch.setenv(name, value)
    reviewed(settings, rows[:60])
    answer = CliRunner().invoke(cli, ["drift", "report", "--json"])
    assert answer.exit_code == 1
    made = json.loads(answer.output)
    assert {(row["department"], row["feature"]) for row in made["standing"]} == {("", "confidence"), ("D1", "confidence")}
    assert {row["group"]["sender"] for row in made["groups"]} == {"S1"}
    assert made["reliability"][0]["right"]["of"] > 0
    assert made["overrides"][0] == {
        "type": "lab.critical", "overridden": {"hits": 1, "of": 2, **interval(made)}, "reasons": {"known": 1},
    }  # fmt: skip
    page = running.directory / "report.html"
    answer = CliRunner().invoke(cli, ["drift", "report", "--html", str(page)])
    assert "Drift that stands" in answer.output
    assert "confidence" in page.read_text()
    assert "asthma" not in page.read_text() + answer.output
    before = running.directory / "before.json"
    assert CliRunner().invoke(cli, ["drift", "baseline", "--out", str(before)]).exit_code == 0
    assert CliRunner().invoke(cli, ["drift", "report", "--baseline", str(before), "--json"]).exit_code == 1
    assert CliRunner().invoke(cli, ["drift", "forget", "S1"]).output == "would forget: 2 groups\n"
    assert CliRunner().invoke(cli, ["drift", "forget", "S1", "--yes"]).exit_code == 0
    assert counted(settings) == 0
    assert CliRunner().invoke(cli, ["drift", "forget", "S1", "--yes"]).exit_code == 1


def interval(made: dict[str, list[dict[str, dict[str, float]]]]) -> dict[str, float]:
    return {name: made["overrides"][0]["overridden"][name] for name in ("low", "high")}


def reviewed(settings: Settings, rows: list[Decision]) -> None:
    """Samples of these notes, labelled as the model had them, and two answers to cards."""
    samples = [
        Sample(
            id=row.id,
            origin=row.findings.origin,
            subject="W1",
            reason="random",
            score=0.0,
            note=row.findings.notes[0],
            mentions=row.findings.mentions,
            versions=row.findings.versions,
        )
        for row in rows
    ]
    labels = [
        ReviewedLabel(
            id=one.id,
            sample=one.id,
            subject="W1",
            note=one.note,
            reviewer="p1",
            guideline="1",
            decided="2026-01-01",
            annotated=("problem", "medication"),
            spans=tuple(ReviewedSpan(start=m.start, end=m.end, type=m.type) for m in one.mentions),
        )
        for one in samples
    ]
    answers = [
        CardFeedback(
            id="a", card="1", service="s", outcome="overridden", time="1", issuer="i", type="lab.critical", reason="known"
        ),
        CardFeedback(id="b", card="2", service="s", outcome="accepted", time="1", issuer="i", type="lab.critical"),
    ]
    for topic, values in ((topics.SAMPLE, samples), (topics.LABEL, labels), (topics.FEEDBACK, answers)):
        post(settings, topic, [(value.id.encode(), msgspec.json.encode(value), ()) for value in values])
