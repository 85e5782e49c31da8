"""From records one by one to batches: at once when idle, all that waits when busy, and no more than fits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from streams.batches import Acknowledge
from streams.gathering import BUSY_RECORDS, Gathering
from streams.record import Record


class Event:
    def __init__(self, number: int, acknowledged: list[int]) -> None:
        self.message = SimpleNamespace(
            topic="p.topic", partition=0, offset=number, timestamp=1.5, key=b"k", value=b"v", headers=[("a", b"b")]
        )
        self._acknowledged = acknowledged

    def ack(self) -> None:
        self._acknowledged.append(self.message.offset)


class Stream:
    """As Faust's: events one by one, acknowledged by the stream itself unless told not to."""

    def __init__(self) -> None:
        self.enable_acks = True
        self.queue: asyncio.Queue[Event] = asyncio.Queue()

    async def events(self) -> AsyncIterator[Event]:
        while True:
            yield await self.queue.get()


class Pipeline:
    """Room for one batch at a time while ``free`` is set."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.free.set()
        self.batches: list[list[Record]] = []
        self.acknowledges: list[Acknowledge] = []

    async def room(self) -> None:
        await self.free.wait()

    async def submit(self, records: list[Record], acknowledge: Acknowledge) -> None:
        self.batches.append(records)
        self.acknowledges.append(acknowledge)


@asynccontextmanager
async def gathering(size: int = 4, wait_s: float = 0.0, busy_wait_s: float = 0.0) -> AsyncIterator[tuple[Stream, Pipeline, Any]]:
    stream, pipeline, acknowledged = Stream(), Pipeline(), []
    made = Gathering(pipeline, size=size, wait_s=wait_s, busy_wait_s=busy_wait_s, prefix=2)
    following = asyncio.create_task(made.follow(stream))  # type: ignore[arg-type]

    def came(*numbers: int) -> list[int]:
        for number in numbers:
            stream.queue.put_nowait(Event(number, acknowledged))
        return acknowledged

    yield stream, pipeline, came
    following.cancel()
    await made.close()


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_an_idle_worker_begins_with_what_comes() -> None:
    """No waiting for a full batch; the record is as the stage wants it; the stream acknowledges nothing, the batch does."""
    async with gathering(size=100) as (stream, pipeline, came):
        acknowledged = came(7)
        await until(lambda: pipeline.batches)
        assert pipeline.batches == [[Record("topic", 0, 7, 1500, b"k", b"v", (("a", b"b"),))]]
        assert not stream.enable_acks
        assert acknowledged == []
        pipeline.acknowledges[0]()
        assert acknowledged == [7]


async def test_what_came_while_there_was_no_room_goes_together() -> None:
    """In order, in batches of at most the size, and the stream is read no further than one batch ahead."""
    async with gathering(size=4) as (stream, pipeline, came):
        pipeline.free.clear()
        came(*range(10))
        await until(lambda: stream.queue.qsize() == 6)
        await asyncio.sleep(0.05)
        assert stream.queue.qsize() == 6
        assert pipeline.batches == []
        pipeline.free.set()
        await until(lambda: sum(map(len, pipeline.batches)) == 10)
        assert [record.offset for batch in pipeline.batches for record in batch] == list(range(10))
        assert len(pipeline.batches[0]) == 4
        assert max(map(len, pipeline.batches)) <= 4


async def test_what_arrives_together_travels_together() -> None:
    """The first record of a batch waits a moment for others."""
    async with gathering(size=100, wait_s=0.2) as (_, pipeline, came):
        came(1)
        await asyncio.sleep(0.02)
        came(2, 3)
        await until(lambda: pipeline.batches)
        assert [record.offset for record in pipeline.batches[0]] == [1, 2, 3]


async def test_a_busy_worker_lets_more_come_together() -> None:
    """After a large batch the next one waits for company; after a small one it does not."""
    async with gathering(size=100, busy_wait_s=0.4) as (_, pipeline, came):
        came(*range(BUSY_RECORDS))
        await until(lambda: len(pipeline.batches) == 1)
        for number in (100, 101, 102):
            came(number)
            await asyncio.sleep(0.05)
        assert len(pipeline.batches) == 1
        await until(lambda: len(pipeline.batches) == 2)
        assert [record.offset for record in pipeline.batches[1]] == [100, 101, 102]
        before = asyncio.get_running_loop().time()
        came(103)
        await until(lambda: len(pipeline.batches) == 3)
        assert asyncio.get_running_loop().time() - before < 0.2


async def test_a_full_batch_does_not_wait() -> None:
    """However busy: what is full goes."""
    async with gathering(size=8, wait_s=60, busy_wait_s=60) as (_, pipeline, came):
        came(*range(24))
        await until(lambda: len(pipeline.batches) == 3)
        assert [len(batch) for batch in pipeline.batches] == [8, 8, 8]
