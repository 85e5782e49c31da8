"""From a batch of records to one outcome per record: back-off, bisection to the culprit, halt. No broker in here."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from schemas.errors import Poison, PrivacyViolation, Reason, Retryable
from streams.logs import describe
from streams.metrics import StreamMetrics
from streams.record import Record
from streams.stage import Outcome, Refused, Stage

#: Back-off with full jitter between these bounds (doubling), seconds.
FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 5.0


@dataclass(frozen=True, slots=True)
class Processed:
    """``attempts`` counts the calls of the stage that this record went through."""

    record: Record
    outcome: Outcome
    attempts: int


@dataclass(slots=True)
class Processing:
    """Calls one stage under the contract of ``streams.stage``. Clock, sleep and randomness come from outside."""

    stage: Stage
    patience_s: float
    metrics: StreamMetrics
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    jitter: random.Random
    log: structlog.typing.FilteringBoundLogger

    async def run(self, records: Sequence[Record]) -> list[Processed]:
        """One ``Processed`` per record, same order.

        Raises:
            Retryable: patience has ended; nothing may be acknowledged.
            PrivacyViolation: halt; nothing may be acknowledged.
        """
        return await self._run(records, attempts=0)

    async def _run(self, records: Sequence[Record], attempts: int) -> list[Processed]:
        deadline = self.clock() + self.patience_s
        delay = FIRST_DELAY_S
        while True:
            attempts += 1
            started = self.clock()
            try:
                outcomes = await self.stage.process(records)
                if len(outcomes) != len(records):
                    raise RuntimeError("the stage must return one outcome per record")
            except Retryable as error:
                self.metrics.retries.labels(self.stage.name, error.reason.value).inc()
                self.log.warning("retry", stage=self.stage.name, reason=error.reason.value, path=error.path, attempt=attempts)
                if self.clock() + delay > deadline:
                    raise
                await self.sleep(self.jitter.uniform(delay / 2, delay))
                delay = min(LONGEST_DELAY_S, 2 * delay)
            except PrivacyViolation:
                raise
            except Exception as error:
                return await self._one_by_one(records, error, attempts)
            else:
                self.metrics.stage_seconds.labels(self.stage.name).observe(self.clock() - started)
                return [Processed(r, o, attempts) for r, o in zip(records, outcomes, strict=True)]

    async def _one_by_one(self, records: Sequence[Record], error: Exception, attempts: int) -> list[Processed]:
        if len(records) > 1:
            return [row for record in records for row in await self._run((record,), attempts)]
        record = records[0]
        poison = error if isinstance(error, Poison) else Poison(Reason.UNEXPECTED)
        self.log.error(
            "unexpected",
            stage=self.stage.name,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            **describe(error),
        )
        return [Processed(record, Refused(poison), attempts)]
