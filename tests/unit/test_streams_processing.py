"""The contract between the runner and a stage: what each kind of failure does to a batch."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
import structlog

from schemas.errors import MalformedMessage, Poison, PrivacyViolation, Reason, StoreUnavailable
from streams.metrics import StreamMetrics
from streams.processing import Processed, Processing
from streams.record import Record
from streams.stage import Done, Outcome, Refused


def records(*values: bytes) -> list[Record]:
    return [Record("phi.x.v1", 0, offset, 0, b"k", value) for offset, value in enumerate(values)]


class Scripted:
    """Calls ``step`` for each batch."""

    name = "scripted"

    def __init__(self, step: Callable[[Sequence[Record]], Sequence[Outcome]]) -> None:
        self.calls: list[int] = []
        self._step = step

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def process(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        self.calls.append(len(batch))
        return self._step(batch)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def processing(stage: Scripted, clock: Clock, patience_s: float = 10) -> Processing:
    log = structlog.wrap_logger(structlog.testing.CapturingLogger())
    return Processing(stage, patience_s, StreamMetrics(), lambda: clock.now, clock.sleep, random.Random(1), log)


def codes(rows: Sequence[Processed]) -> list[str]:
    return [row.outcome.error.reason.value if isinstance(row.outcome, Refused) else "done" for row in rows]


async def test_outcomes_come_back_in_order_with_one_attempt() -> None:
    """A batch that works is one call of the stage."""
    stage = Scripted(lambda batch: [Done() for _ in batch])
    rows = await processing(stage, Clock()).run(records(b"a", b"b"))
    assert codes(rows) == ["done", "done"]
    assert [(row.record.value, row.attempts) for row in rows] == [(b"a", 1), (b"b", 1)]
    assert stage.calls == [2]


async def test_a_retryable_failure_backs_off_with_jitter_and_comes_back() -> None:
    """Delays grow, stay within their bounds, and the attempts are counted."""
    failures = iter(range(4))

    def step(batch: Sequence[Record]) -> Sequence[Outcome]:
        if next(failures, None) is not None:
            raise StoreUnavailable
        return [Done() for _ in batch]

    clock = Clock()
    rows = await processing(Scripted(step), clock).run(records(b"a"))
    assert rows[0].attempts == 5
    bounds = [0.1, 0.2, 0.4, 0.8]
    assert all(bound / 2 <= slept <= bound for slept, bound in zip(clock.slept, bounds, strict=True))


async def test_patience_ends() -> None:
    """Beyond the patience the failure leaves, so that the process ends without acknowledging."""

    def step(batch: Sequence[Record]) -> Sequence[Outcome]:
        raise StoreUnavailable

    clock = Clock()
    with pytest.raises(StoreUnavailable):
        await processing(Scripted(step), clock, patience_s=3).run(records(b"a"))
    assert clock.now <= 3


async def test_a_bug_costs_only_the_record_that_has_it() -> None:
    """An unexpected exception sends the batch through record by record; the culprit is refused as unexpected."""

    def step(batch: Sequence[Record]) -> Sequence[Outcome]:
        if any(record.value == b"bad" for record in batch):
            raise KeyError("text of the record")
        return [Done() for _ in batch]

    stage = Scripted(step)
    rows = await processing(stage, Clock()).run(records(b"a", b"bad", b"c"))
    assert codes(rows) == ["done", "unexpected", "done"]
    assert stage.calls == [3, 1, 1, 1]


async def test_a_raised_poison_keeps_its_reason() -> None:
    """A stage that raises what it should have returned still gets the right dead letter."""

    def step(batch: Sequence[Record]) -> Sequence[Outcome]:
        raise MalformedMessage(Reason.MALFORMED_FHIR, path="Bundle")

    rows = await processing(Scripted(step), Clock()).run(records(b"a"))
    assert codes(rows) == ["malformed_fhir"]
    assert isinstance(rows[0].outcome, Refused)
    assert isinstance(rows[0].outcome.error, Poison)


async def test_a_wrong_number_of_outcomes_is_a_bug_and_never_guessed_at() -> None:
    """Outcomes that cannot be matched to records are thrown away; alone, each record gets its own."""
    stage = Scripted(lambda batch: [Done()])
    rows = await processing(stage, Clock()).run(records(b"a", b"b"))
    assert codes(rows) == ["done", "done"]
    assert stage.calls == [2, 1, 1]


async def test_a_privacy_violation_is_not_retried_and_not_refused() -> None:
    """It leaves at once; the runner halts."""

    def step(batch: Sequence[Record]) -> Sequence[Outcome]:
        raise PrivacyViolation(Reason.CLASSIFICATION_REFUSED)

    stage = Scripted(step)
    with pytest.raises(PrivacyViolation):
        await processing(stage, Clock()).run(records(b"a", b"b"))
    assert stage.calls == [2]
