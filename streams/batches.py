"""The bounded pipeline: several batches are processed at once; outputs are produced and offsets acknowledged in order.

Two batches that share a key (a patient) are never processed at the same time, so a stage with memory sees each patient's records
in order. A batch is acknowledged when every output of it, or its dead letter, is stored.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from schemas.errors import Poison, Reason, WardstreamError
from streams import dead_letters
from streams.metrics import StreamMetrics
from streams.processing import Processed, Processing
from streams.producer import Producer, Stored
from streams.record import Output, Record
from streams.stage import Done, Refused
from streams.suspects import FATAL_DEATHS, Suspects

Acknowledge = Callable[[], None]


@dataclass(slots=True, eq=False)
class _Batch:
    records: Sequence[Record]
    acknowledge: Acknowledge
    keys: frozenset[bytes]
    work: asyncio.Task[list[Processed]]


class Batches:
    """Feed with ``submit`` from one task; a failure anywhere ends up in ``failed`` and nothing more is acknowledged.

    Args:
        limit: batches that may be in flight at once; ``submit`` waits beyond it, which is the back-pressure on fetching.
        now: wall clock, only for the end-to-end metric.
    """

    def __init__(
        self,
        processing: Processing,
        producer: Producer,
        suspects: Suspects,
        *,
        limit: int,
        metrics: StreamMetrics,
        now: Callable[[], datetime],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._processing = processing
        self._producer = producer
        self._suspects = suspects
        self._metrics = metrics
        self._stage = processing.stage.name
        self._now = now
        self._log = log
        self._slots = asyncio.Semaphore(limit)
        self._open: deque[_Batch] = deque()
        self._queue: asyncio.Queue[_Batch] = asyncio.Queue()
        self._finisher = asyncio.create_task(self._finish_all())
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def submit(self, records: Sequence[Record], acknowledge: Acknowledge) -> None:
        """Take one batch; returns when there is room for it, long before it is done."""
        await self._slots.acquire()
        self._metrics.received.labels(self._stage).inc(len(records))
        self._metrics.batch_records.labels(self._stage).observe(len(records))
        self._metrics.in_flight.labels(self._stage).inc(len(records))
        keys = frozenset(record.key for record in records if record.key is not None)
        before = [other.work for other in self._open if not other.keys.isdisjoint(keys)]
        batch = _Batch(records, acknowledge, keys, asyncio.create_task(self._process(records, before)))
        self._open.append(batch)
        self._queue.put_nowait(batch)

    async def room(self) -> None:
        """Wait until ``submit`` would not wait."""
        await self._slots.acquire()
        self._slots.release()

    async def close(self) -> None:
        """Stop without waiting; batches that are not acknowledged stay so."""
        self._finisher.cancel()
        for batch in self._open:
            batch.work.cancel()
        await asyncio.gather(self._finisher, *(batch.work for batch in self._open), return_exceptions=True)

    async def _process(self, records: Sequence[Record], before: Sequence[asyncio.Task[list[Processed]]]) -> list[Processed]:
        if before:
            await asyncio.wait(before)
            for earlier in before:
                earlier.result()  # a failed predecessor fails this batch too: order must not be broken
        await self._suspects.begin(records)
        if self._suspects.suspicious(records):
            return [await self._process_alone(record) for record in records]
        return await self._processing.run(records)

    async def _process_alone(self, record: Record) -> Processed:
        deaths = await self._suspects.deaths_before(record)
        if deaths >= FATAL_DEATHS:
            self._log.error(
                "refused_after_crashes",
                stage=self._stage,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                attempts=deaths,
            )
            row = Processed(record, Refused(Poison(Reason.UNEXPECTED)), deaths)
        else:
            (row,) = await self._processing.run((record,))
        await self._suspects.survived(record)
        return row

    async def _finish_all(self) -> None:
        try:
            while True:
                batch = await self._queue.get()
                rows = await batch.work
                await self._deliver(rows)
                await self._suspects.done(batch.records)
                batch.acknowledge()
                self._open.popleft()
                self._metrics.in_flight.labels(self._stage).dec(len(batch.records))
                self._slots.release()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if not self.failed.done():
                self.failed.set_exception(error)

    async def _deliver(self, rows: Sequence[Processed]) -> None:
        clock = self._processing.clock
        started = clock()
        plan = [(row, output) for row in rows for output in self._outputs(row)]
        answers = await self._producer.send_all([output for _, output in plan])
        too_late: dict[int, Output] = {}
        for (row, output), answer in zip(plan, answers, strict=True):
            if isinstance(answer, Stored):
                self._metrics.produced.labels(self._stage, output.topic).inc()
            elif isinstance(answer, Poison) and isinstance(row.outcome, Done):
                too_late[id(row)] = self._dead_letter(row, answer)
            else:
                raise answer
        for answer in await self._producer.send_all(list(too_late.values())):
            if isinstance(answer, WardstreamError):
                raise answer
        self._metrics.delivery_seconds.labels(self._stage).observe(clock() - started)
        self._observe_end_to_end(rows)

    def _outputs(self, row: Processed) -> tuple[Output, ...]:
        return (
            row.outcome.outputs
            if isinstance(row.outcome, Done)
            else (self._dead_letter(row, row.outcome.error, row.outcome.quarantined),)
        )

    def _dead_letter(self, row: Processed, error: Poison, quarantined: Record | None = None) -> Output:
        self._metrics.dead_lettered.labels(self._stage, error.reason.value).inc()
        record = row.record
        self._log.warning(
            "dead_letter",
            stage=self._stage,
            reason=error.reason.value,
            path=error.path,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            attempts=row.attempts,
        )
        return dead_letters.make(quarantined or record, error, stage=self._stage, attempts=row.attempts)

    def _observe_end_to_end(self, rows: Sequence[Processed]) -> None:
        now = self._now()
        histogram = self._metrics.end_to_end_seconds.labels(self._stage)
        for row in rows:
            raw = next((value for name, value in row.record.headers if name == "ce_time"), None)
            try:
                received = datetime.fromisoformat(raw.decode()) if raw else None
                if received is not None:
                    histogram.observe(max(0.0, (now - received).total_seconds()))
            except (ValueError, TypeError):  # another producer's idea of a time; the metric can do without it
                continue
