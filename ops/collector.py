"""What came out of the stream, per message and per stage, read from the topics themselves (the demo's results sink)."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from agents.pipeline import PIPELINE
from schemas.envelope import FHIR_JSON, HL7_V2
from schemas.flags import Decision
from schemas.ids import source_id
from streams import topics
from streams.record import Record


def percentile(values: Iterable[float], share: float) -> float | None:
    """Nearest-rank percentile; ``None`` without values."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


@dataclass(slots=True)
class StageRow:
    stage: str
    read: int
    written: int
    dead: int
    p50_ms: float | None
    p95_ms: float | None


@dataclass(slots=True)
class Collector:
    """Thread-safe; ``add`` takes every record of every topic once (records of one id replace each other)."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _seen: dict[str, dict[str, Record]] = field(default_factory=lambda: defaultdict(dict))
    _dead: dict[str, list[Record]] = field(default_factory=lambda: defaultdict(list))

    def add(self, record: Record) -> None:
        """Sort one record in by topic and id."""
        headers = dict(record.headers)
        with self._lock:
            if record.topic.endswith(".dlq"):
                self._dead[record.topic].append(record)
                return
            key = headers.get("ce_id", b"").decode() or f"{record.partition}/{record.offset}"
            self._seen[record.topic][key] = record

    def count(self, topic: str) -> int:
        with self._lock:
            return len(self._seen[topic])

    def finished(self) -> int:
        """Messages that reached an end: a published bundle or a dead letter of any stage on the way."""
        with self._lock:
            dead = sum(len(records) for topic, records in self._dead.items() if not topic.startswith(topics.RESULT))
            return len(self._seen[topics.BUNDLE]) + dead

    def delivered_and_sampled(self) -> bool:
        """Whether every published ORU^R01 has its delivery audited, or is dead-lettered: the slowest way out of the stream."""
        with self._lock:
            oru = sum(dict(r.headers).get("content-type") == HL7_V2.encode() for r in self._seen[topics.RESULT].values())
            audited = sum(_source(r) == "/agents/deliver" for r in self._seen[topics.AUDIT].values())
            dead = len(self._dead[topics.dead_letter(topics.RESULT)])
        return audited + dead >= oru

    def records(self, topic: str) -> list[Record]:
        with self._lock:
            return list(self._seen[topic].values())

    def dead_letters(self) -> list[tuple[str, str]]:
        """``(topic, reason code)`` of each dead letter."""
        with self._lock:
            return [
                (topic, dict(record.headers).get("x-error-code", b"").decode())
                for topic, records in self._dead.items()
                for record in records
            ]

    def decisions(self) -> list[Decision]:
        return [msgspec.json.decode(record.value, type=Decision) for record in self.records(topics.RAISED) if record.value]

    def stage_rows(self) -> list[StageRow]:
        """Counts and latency (record timestamp out minus record timestamp in, by origin) for each stage of the pipeline."""
        return [self._row(row.stage, row.reads, row.writes) for row in PIPELINE]

    def _row(self, stage: str, reads: str, writes: tuple[str, ...]) -> StageRow:
        arrivals = {_origin(record): record.timestamp for record in self.records(reads)}
        own = [r for topic in writes for r in self.records(topic) if _source(r) == f"/agents/{stage}"]
        waits = [r.timestamp - arrivals[_origin(r)] for r in own if _origin(r) in arrivals]
        with self._lock:
            dead = sum(dict(r.headers).get("x-stage", b"").decode() == stage for rows in self._dead.values() for r in rows)
        return StageRow(stage, self.count(reads), len(own), dead, percentile(waits, 0.5), percentile(waits, 0.95))

    def end_to_end_ms(self) -> list[float]:
        """Receipt to published pseudonymous bundle, per message."""
        received = {_origin(record): record.timestamp for record in self.records(topics.RECEIVED)}
        return [r.timestamp - received[_origin(r)] for r in self.records(topics.BUNDLE) if _origin(r) in received]

    def mention_counts(self) -> Counter[str]:
        return Counter(mention.type for decision in self.decisions() for mention in decision.findings.mentions)

    def flag_counts(self) -> Counter[tuple[str, str]]:
        return Counter((flag.type, flag.severity) for decision in self.decisions() for flag in decision.flags)

    def of_origin(self, topic: str, origin: str) -> Record | None:
        return next((record for record in self.records(topic) if _origin(record) == origin), None)

    def bundles(self) -> list[Record]:
        return [
            record for record in self.records(topics.BUNDLE) if dict(record.headers).get("content-type") == FHIR_JSON.encode()
        ]


def _origin(record: Record) -> str:
    """``ce_origin``; a record produced straight by an integration engine gets the origin that de-identification derives for it."""
    origin = dict(record.headers).get("ce_origin")
    return origin.decode() if origin else source_id(record.topic, str(record.partition), str(record.offset))


def _source(record: Record) -> str:
    return dict(record.headers).get("ce_source", b"").decode()
