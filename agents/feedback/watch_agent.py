"""The stage ``watch``: ``deid.flag.raised.v1`` -> ``ops.drift.detected.v1``, a record when drift begins and another when it ends.

Each message counts once in the numbers of its sender and once in those of its department. The message that fills a block has the block
judged, and its outputs are what was told at that block: the same however often it comes.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from agents.feedback.agent import read_record
from agents.feedback.drift import Counts, Group, binned, given_baselines, groups_of
from agents.feedback.features import features
from agents.feedback.vocabulary import known_words
from agents.feedback.watch import STAGE, STEP, State, judge
from agents.feedback.watch_store import WatchStore, open_store
from schemas.drifts import Drift
from schemas.envelope import JSON, Envelope
from schemas.errors import Poison, Reason, StoreUnavailable
from schemas.fhir.definitions import is_resource
from schemas.flags import Decision
from streams import drift_marks, topics
from streams.health import Health
from streams.metrics import StreamMetrics
from streams.record import Output, Record
from streams.settings import Settings
from streams.stage import Done, Outcome, Refused
from streams.store import Store

_DECODER = msgspec.json.Decoder(Decision)
_HL7_KIND = re.compile(r"[A-Z]{3}\^[A-Z]\d\d")
#: How often a judgement is made again because another worker made one meanwhile.
_ATTEMPTS = 8
#: How often the gauge of standing drift is read anew from the store.
_GAUGE_S = 15.0


@dataclass(frozen=True, slots=True)
class _Read:
    envelope: Envelope
    decision: Decision
    bins: dict[str, int]
    groups: tuple[Group, ...]


class WatchStage:
    """See ``streams.stage.Stage``. ``clock`` only says when the gauge is due."""

    name = STAGE

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._own = settings.watch
        self._clock = clock
        self._metrics: StreamMetrics | None = None
        self._redis: Store | None = None
        self._store: WatchStore | None = None
        self._given: dict[Group, Counts] = {}
        self._known: frozenset[str] = frozenset()
        self._gauge_due = 0.0
        self._shown: set[tuple[str, str]] = set()

    def observe(self, metrics: StreamMetrics, health: Health) -> None:
        self._metrics = metrics

    async def open(self) -> None:
        """Raises ConfigurationError when the baseline file or the bundle whose words are known cannot be read."""
        self._given = given_baselines(self._own)
        self._known = known_words(self._settings.models)
        self._redis, self._store = open_store(self._settings)

    async def process(self, records: Sequence[Record]) -> Sequence[Outcome]:
        """Raises StoreUnavailable: the batch comes again, and what was counted is not counted twice."""
        if self._store is None:
            raise RuntimeError("process before open")
        read = await asyncio.to_thread(lambda: [self._read(record) for record in records])
        asked = [(n, row, group) for n, row in enumerate(read) if isinstance(row, _Read) for group in row.groups]
        places = await self._store.count(
            [(group, row.decision.id, row.bins, self._learned(group)) for _, row, group in asked],
        )
        told: list[list[Drift]] = [[] for _ in read]
        for (n, row, group), place in zip(asked, places, strict=True):
            if place < 0 and self._metrics is not None:
                self._metrics.drift_unwatched.inc()
            full = place - self._learned(group) + 1
            if full > 0 and full % STEP == 0:
                told[n] += await self._judged(group, full // STEP - 1, row.decision.findings.time)
        await self._show()
        return [
            Refused(row) if isinstance(row, Poison) else Done(tuple(_output(row, one) for one in found))
            for row, found in zip(read, told, strict=True)
        ]

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()
        self._redis = self._store = None

    def _read(self, record: Record) -> _Read | Poison:
        found = read_record(record, _DECODER)
        if isinstance(found, Poison):
            return found
        envelope, decision = found
        bins = binned(features(decision, self._known))
        return _Read(envelope, decision, bins, groups_of(decision.findings) if bins else ())

    def _learned(self, group: Group) -> int:
        """Messages of the group that make its baseline, none where the file has one."""
        return 0 if group in self._given else self._own.learn

    async def _judged(self, group: Group, block: int, when: str) -> tuple[Drift, ...]:
        """What is told at ``block``, and at blocks before it that a worker died over."""
        assert self._store is not None
        for _ in range(_ATTEMPTS):
            held = await self._store.load(group, block)
            if block <= held.state.judged:
                return held.state.told.get(block, ())
            baseline, state = self._given.get(group, held.baseline), held.state
            for number in sorted(held.blocks):
                messages, now = held.window(number)
                state = judge(group, state, number, when, baseline, now, messages)
            if await self._store.commit(group, held.revision, state):
                await self._tell(group, state, held.state)
                return state.told.get(block, ())
        raise StoreUnavailable(Reason.STORE_UNAVAILABLE, path="watch")

    async def _tell(self, group: Group, state: State, before: State) -> None:
        """Metrics and marks of one judgement; while drift stands, each renews the mark."""
        assert self._redis is not None
        if state.standing:
            await drift_marks.mark(self._redis, group.sender, group.kind, self._own.mark_hours * 3600)
        if self._metrics is None:
            return
        for number in sorted(state.told.keys() - before.told.keys()):
            for record in state.told[number]:
                self._metrics.drift_records.labels(record.feature, kind_label(record.kind), record.state).inc()

    async def _show(self) -> None:
        """Drift that stands, of all workers' groups: every worker shows the same."""
        if self._metrics is None or self._store is None or self._clock() < self._gauge_due:
            return
        self._gauge_due = self._clock() + _GAUGE_S
        counts: dict[tuple[str, str], int] = dict.fromkeys(self._shown, 0)
        for record in await self._store.standing():
            labels = (record.feature, kind_label(record.kind))
            counts[labels] = counts.get(labels, 0) + 1
        for labels, count in counts.items():
            self._metrics.drift_standing.labels(*labels).set(count)
        self._shown = set(counts)


def kind_label(kind: str) -> str:
    """The kind of message as a metric label: a name of the standards, or ``other``."""
    return kind if _HL7_KIND.fullmatch(kind) or is_resource(kind) else "other"


def _output(row: _Read, record: Drift) -> Output:
    topic = topics.BY_NAME[topics.DRIFT]
    headers = Envelope(
        id=record.id,
        source=f"/agents/{STAGE}",
        type=topic.event_type,
        time=row.envelope.time,
        content_type=JSON,
        data_class=topic.data_class,
        origin=row.envelope.origin,
        traceparent=row.envelope.traceparent,
    ).headers()
    return Output(topics.DRIFT, record.id.encode(), msgspec.json.encode(record, order="deterministic"), headers)


def build(settings: Settings) -> WatchStage:
    """The stage under these settings; nothing is opened before ``open``."""
    return WatchStage(settings)
