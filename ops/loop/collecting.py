"""From the topics of samples and reviewed labels into the store, from where the last run ended; erasures on the way reach the store too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from schemas.envelope import parse_headers
from schemas.erasure import Erasure
from schemas.errors import Poison
from schemas.labels import ReviewedLabel
from schemas.samples import Sample
from streams import topics
from streams.record import Record
from streams.settings import Kafka
from streams.tail import tail
from training.label_store.rows import Row
from training.label_store.store import LabelStore, Offsets, Trained, day_of

_BATCH = 5000
_READ = (topics.SAMPLE, topics.LABEL)


@dataclass(slots=True)
class Collected:
    """``passed_over`` by why: ``leak`` (the second leak check suspects the note), ``unreadable``. ``models`` saw a patient who was erased."""

    added: int = 0
    withdrawn: int = 0
    erased: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)
    models: tuple[Trained, ...] = ()


def collect(kafka: Kafka, store: LabelStore, check: Callable[[str], str], now: datetime) -> Collected:
    """Read the topics to their end and keep what is new. A run that is cut off goes on from the last batch; nothing is kept twice.

    Args:
        check: the second leak check, once more: labels may have come by other ways than the feedback stage, and patterns get better.

    Raises:
        BrokerUnavailable, StoreUnavailable: run it again.
    """
    done = Collected()
    start = store.manifest().offsets
    for records in _batches(tail(kafka, _READ, to_end=True, starts=start)):
        rows: dict[tuple[str, str], list[Row]] = {}
        withdrawn: set[str] = set()
        offsets: Offsets = {}
        for record in records:
            offsets.setdefault(record.topic, {})[record.partition] = record.offset + 1
            name = (record.key or b"").decode("ascii", "replace")
            if record.value is None:
                withdrawn.add(name)
                rows.pop((record.topic, name), None)
                continue
            row = _row(record)
            if row is None:
                done.passed_over["unreadable"] += 1
            elif check(row.record.note.text):
                done.passed_over["leak"] += 1
            else:
                rows.setdefault((record.topic, name), []).append(row)
        done.added += store.write([row for each in rows.values() for row in each], offsets, withdrawn)
        done.withdrawn += len(withdrawn)
    _erase(kafka, store, now, start, done)
    return done


def _erase(kafka: Kafka, store: LabelStore, now: datetime, start: Offsets, done: Collected) -> None:
    """After everything else was read: a sample that was on its way when its patient was erased goes too. Offsets last."""
    offsets: Offsets = {}
    subjects: set[str] = set()
    for record in tail(kafka, (topics.ERASURE,), to_end=True, starts=start):
        offsets.setdefault(record.topic, {})[record.partition] = record.offset + 1
        try:
            subjects.add(msgspec.json.decode(record.value or b"", type=Erasure).subject)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            done.passed_over["unreadable"] += 1
    if subjects:
        found = store.erase(subjects, now)
        done.erased, done.models = found.samples + found.labels, found.models
    if offsets:
        store.write([], offsets)


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for record in records:
        batch.append(record)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _row(record: Record) -> Row | None:
    """``None`` for what is no record of ours: it holds up nobody's collection."""
    try:
        if record.topic == topics.SAMPLE:
            sample = msgspec.json.decode(record.value or b"", type=Sample)
            return Row("sample", day_of(parse_headers(record.headers).time), record.timestamp, sample)
        label = msgspec.json.decode(record.value or b"", type=ReviewedLabel)
        return Row("label", day_of(label.decided), record.timestamp, label)
    except (msgspec.MsgspecError, ValueError, Poison):
        return None
