"""Samples, labels and a served page for the tests of review."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Producer

from ops.review.accounts import Pseudonyms, Role, row
from schemas.findings import MENTION_TYPES, Assertion, FindingsNote, Mention, MentionType, Versions
from schemas.labels import Edits, ReviewedLabel, ReviewedSpan
from schemas.samples import Sample, SampleReason
from streams import admin, embedded, topics
from streams.record import Record
from tests.support.streams_site import ROOT, Site

KEY = "k" * 48
TOPICS = (topics.SAMPLE, topics.LABEL, topics.AUDIT)
DAY = "2026-03-01"

Phrase = tuple[str, MentionType] | tuple[str, MentionType, Assertion]


def make_sample(
    name: str,
    text: str,
    *phrases: Phrase,
    score: float = 0.5,
    reason: SampleReason = "uncertain",
    subject: str = "TOKEN0000000001",
    **rest: Any,
) -> Sample:
    """A sample whose mentions are the first places of these phrases."""
    note = FindingsNote(path="OBX[1]-5", text=text, sha256=hashlib.sha256(text.encode()).hexdigest())
    mentions = tuple(_mention(name, note, number, *phrase) for number, phrase in enumerate(phrases))
    return Sample(
        id=name, origin="o", subject=subject, reason=reason, score=score, note=note, mentions=mentions,
        versions=Versions(entity_model="entities 1.0", policy="p1"), **rest,
    )  # fmt: skip


def _mention(
    name: str, note: FindingsNote, number: int, phrase: str, type_: MentionType, assertion: Assertion | None = None
) -> Mention:
    start = note.text.index(phrase)
    return Mention(
        id=f"{name}-{number}", note=note.path, start=start, end=start + len(phrase), text=phrase, type=type_, score=0.9,
        source="m", assertion=assertion or Assertion(),
    )  # fmt: skip


def make_label(
    sample: Sample,
    reviewer: str,
    *spans: ReviewedSpan,
    decided: str = f"{DAY}T10:00:00.000+00:00",
    edits: Edits | None = None,
    name: str = "",
) -> ReviewedLabel:
    return ReviewedLabel(
        id=name or f"{sample.id}/{reviewer}", sample=sample.id, subject=sample.subject, note=sample.note, reviewer=reviewer,
        guideline="1", decided=decided, annotated=MENTION_TYPES, spans=spans, edits=edits,
    )  # fmt: skip


def span(text: str, phrase: str, type_: MentionType, **axes: bool) -> ReviewedSpan:
    start = text.index(phrase)
    return ReviewedSpan(start=start, end=start + len(phrase), type=type_, assertion=Assertion(**axes))


def record(topic: str, name: str, value: Sample | ReviewedLabel | None) -> Record:
    return Record(topic, 0, 0, 0, name.encode(), None if value is None else msgspec.json.encode(value), ())


class Served:
    """``wardstream review serve`` as a process on an installation of the tests; use as a context manager.

    ``tokens`` by name; every one may review, ``lead`` may adjudicate.
    """

    def __init__(self, site: Site, folder: Path, names: tuple[str, ...] = ("ada", "ben", "lead"), **settings: object) -> None:
        self.site, self.folder = site, folder
        self.tokens = {name: f"token-of-{name}-{'x' * 24}" for name in names}
        key, file = folder / "review.key", folder / "reviewers"
        key.write_text(KEY)
        roles: dict[str, Role] = {"lead": "adjudicator"}
        file.write_text("\n".join(row(name, roles.get(name, "reviewer"), token) for name, token in self.tokens.items()))
        self.port = embedded.free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        shown = {
            "port": self.port,
            "reviewers_file": file,
            "key_file": key,
            "gold_share": 0,
            "random_share": 0,
            "double_share": 0,
        }
        self.metrics_port = embedded.free_port()
        rows = {f"WARDSTREAM_REVIEW__{name.upper()}": str(value) for name, value in (shown | settings).items()}
        self.environment = site.environment() | rows | {"WARDSTREAM_WORKER__METRICS_PORT": str(self.metrics_port)}
        kafka = site.settings.kafka
        admin.Admin(kafka).apply(admin.wanted(kafka, [topics.BY_NAME[name] for name in TOPICS]))

    def propose(self, *samples: Sample) -> None:
        self.store(*((topics.SAMPLE, sample.id, msgspec.json.encode(sample)) for sample in samples))

    def store(self, *rows: tuple[str, str, bytes | None]) -> None:
        log = Producer({"bootstrap.servers": self.site.bootstrap, "log_level": 0})
        for topic, name, value in rows:
            log.produce(self.site.prefix + topic, value, key=name.encode())
        assert log.flush(20) == 0

    def __enter__(self) -> Served:
        self.log = self.folder / "review.log"
        with self.log.open("ab") as sink:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ops.cli", "review", "serve"], cwd=ROOT, stdout=sink, stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
        deadline = time.monotonic() + 30
        while not self._ready():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)
        return self

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(30) == 0, self.log.read_text()

    def pseudonym(self, name: str) -> str:
        return Pseudonyms(KEY.encode()).of(name)

    def labels(self, at_least: int) -> list[ReviewedLabel]:
        """Labels as they lie on the topic; records without a value are left out."""
        found = self.site.read(topics.LABEL, at_least=at_least)
        return [msgspec.json.decode(m.value() or b"", type=ReviewedLabel) for m in found if m.value() is not None]

    def audited(self, at_least: int) -> list[dict[str, Any]]:
        return [json.loads(m.value() or b"") for m in self.site.read(topics.AUDIT, at_least=at_least)]
