"""The bounded pipeline with a real producer: order, exclusion of shared keys, and what a failure leaves unacknowledged."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
import structlog

from schemas.errors import PrivacyViolation, Reason
from streams.batches import Batches
from streams.metrics import StreamMetrics
from streams.processing import Processing
from streams.producer import Producer
from streams.record import Output, Record
from streams.stage import Done, Outcome
from streams.suspects import Suspects
from tests.support.streams_site import Site, values
from tests.support.streams_stage import READS, WRITES

LOG = structlog.wrap_logger(structlog.testing.CapturingLogger())


class Timed:
    """Takes as long as a record's value says (ms) and keeps what ran at the same time."""

    name = "timed"

    def __init__(self) -> None:
        self.running: set[bytes] = set()
        self.together: set[frozenset[bytes]] = set()

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def process(self, records: Sequence[Record]) -> Sequence[Outcome]:
        names = {record.headers[0][1] for record in records}
        self.running |= names
        self.together.add(frozenset(self.running))
        await asyncio.sleep(sum(int(record.value or b"0") for record in records) / 1000)
        self.running -= names
        if any(record.value == b"13" for record in records):
            raise PrivacyViolation(Reason.CLASSIFICATION_REFUSED)
        return [Done((Output(WRITES, record.key, record.headers[0][1]),)) for record in records]


def record(name: bytes, key: bytes | None, ms: int) -> Record:
    return Record(READS, 0, ord(name), 0, key, b"%d" % ms, (("name", name),))


@asynccontextmanager
async def pipeline(
    site: Site, stage: Timed, limit: int
) -> AsyncIterator[tuple[Batches, list[str], Callable[[str], Callable[[], None]]]]:
    metrics, acknowledged = StreamMetrics(), []
    producer = Producer(site.settings.kafka, client_id="t")
    processing = Processing(stage, 5, metrics, time.monotonic, asyncio.sleep, random.Random(1), LOG)
    suspects = Suspects(None, "g", clock=time.monotonic, log=LOG)
    batches = Batches(processing, producer, suspects, limit=limit, metrics=metrics, now=lambda: datetime.now(UTC), log=LOG)
    yield batches, acknowledged, lambda name: lambda: acknowledged.append(name)
    await batches.close()
    await producer.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_quick_batch_waits_for_the_slow_one_before_it(kafka_site: Site) -> None:
    """They run together, and still are produced and acknowledged in order."""
    stage = Timed()
    async with pipeline(kafka_site, stage, 2) as (batches, acknowledged, note):
        await batches.submit([record(b"a", b"k1", 300)], note("a"))
        await batches.submit([record(b"b", b"k2", 1)], note("b"))
        await until(lambda: len(acknowledged) == 2)
    assert acknowledged == ["a", "b"]
    assert frozenset({b"a", b"b"}) in stage.together
    out = await asyncio.to_thread(kafka_site.read, at_least=2)
    assert set(values(out)) == {b"a", b"b"}


async def test_batches_that_share_a_key_never_run_together(kafka_site: Site) -> None:
    """A patient's records reach a stage with memory one after the other; others overtake nothing."""
    stage = Timed()
    async with pipeline(kafka_site, stage, 3) as (batches, acknowledged, note):
        await batches.submit([record(b"a", b"patient", 200)], note("a"))
        await batches.submit([record(b"b", b"patient", 50)], note("b"))
        await batches.submit([record(b"c", b"other", 50)], note("c"))
        await until(lambda: len(acknowledged) == 3)
    assert not any({b"a", b"b"} <= names for names in stage.together)
    assert any({b"a", b"c"} <= names for names in stage.together)
    assert acknowledged == ["a", "b", "c"]


async def test_room_is_given_only_when_a_batch_is_acknowledged(kafka_site: Site) -> None:
    """Back-pressure: no more batches in the pipeline than the limit."""
    stage = Timed()
    async with pipeline(kafka_site, stage, 1) as (batches, acknowledged, note):
        await batches.submit([record(b"a", b"k1", 100)], note("a"))
        await batches.submit([record(b"b", b"k2", 1)], note("b"))
        assert acknowledged == ["a"]
        await until(lambda: len(acknowledged) == 2)


async def test_after_a_halt_nothing_more_is_acknowledged(kafka_site: Site) -> None:
    """A later batch that has long succeeded stays unacknowledged behind one that halts."""
    stage = Timed()
    async with pipeline(kafka_site, stage, 3) as (batches, acknowledged, note):
        await batches.submit([record(b"a", b"k1", 5)], note("a"))
        await batches.submit([record(b"b", b"k2", 13)], note("b"))
        await batches.submit([record(b"c", b"k3", 1)], note("c"))
        with pytest.raises(PrivacyViolation):
            async with asyncio.timeout(20):
                await batches.failed
        await asyncio.sleep(0.1)
    assert acknowledged == ["a"]
