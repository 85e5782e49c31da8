"""Records one by one in, batches out: what waits goes together as soon as the pipeline has room.

An idle worker begins with a record at once, but for the short wait in which what arrives together travels together. A busy one lets more
come together: a batch costs several times what a record of it costs (awakenings, requests to broker and store, cold caches), and where
processes share cores, batches of one or two take the time of everybody's next one. Faust's ``take`` waits its whole time for every batch
instead, and wakes up as often where nothing comes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any, Protocol

import faust

from streams.batches import Acknowledge
from streams.record import Record

#: A worker whose last batch had so many records counts as busy.
BUSY_RECORDS = 6


class Pipeline(Protocol):
    """``streams.batches.Batches``."""

    async def room(self) -> None:
        """Wait until a batch would be taken at once."""

    async def submit(self, records: list[Record], acknowledge: Acknowledge) -> None: ...


class Gathering:
    """Feed with ``follow`` from the agent; ends with ``close``.

    Args:
        size: records of a batch at most; as many wait here before the stream is read no further.
        wait_s: what the first record of a batch waits for others.
        busy_wait_s: while busy, from the begin of one batch to that of the next, and a quarter of it at least for the first record: what the
            stage before wrote at once comes in several answers of the broker. A full batch never waits.
        prefix: characters of the installation's topic prefix, which records are named without.
    """

    def __init__(self, pipeline: Pipeline, *, size: int, wait_s: float, busy_wait_s: float, prefix: int) -> None:
        self._pipeline, self._size, self._prefix = pipeline, size, prefix
        self._wait_s, self._busy_wait_s = wait_s, busy_wait_s
        self._events: deque[Any] = deque()
        self._some, self._full, self._room = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._loop, self._begun, self._busy = asyncio.get_running_loop(), 0.0, False
        self._feeder = asyncio.create_task(self._feed())

    async def follow(self, stream: faust.StreamT[Any]) -> None:
        """Everything that comes on an agent's stream, never acknowledged by the stream itself."""
        stream.enable_acks = False
        async for event in stream.events():
            self._events.append(event)
            self._some.set()
            while len(self._events) >= self._size:
                self._full.set()
                self._room.clear()
                await self._room.wait()

    async def close(self) -> None:
        """What is not handed over by now stays unacknowledged."""
        self._feeder.cancel()
        await asyncio.gather(self._feeder, return_exceptions=True)

    async def _feed(self) -> None:
        while True:
            await self._some.wait()
            await self._pipeline.room()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait()):
                    await self._full.wait()
            events = [self._events.popleft() for _ in range(min(self._size, len(self._events)))]
            self._begun, self._busy = self._loop.time(), len(events) >= BUSY_RECORDS
            self._full.clear()
            if not self._events:
                self._some.clear()
            self._room.set()
            await self._pipeline.submit([record(event.message, self._prefix) for event in events], _acknowledgement(events))

    def _wait(self) -> float:
        """Seconds that the next batch still waits for more, unless it fills up."""
        if not self._busy:
            return self._wait_s
        return max(self._wait_s, self._busy_wait_s / 4, self._begun + self._busy_wait_s - self._loop.time())


def record(message: Any, prefix: int) -> Record:
    """What a stage sees of a message of Faust's."""
    return Record(
        topic=message.topic[prefix:],
        partition=message.partition,
        offset=message.offset,
        timestamp=round(message.timestamp * 1000) if message.timestamp else 0,
        key=message.key,
        value=message.value,
        headers=tuple(message.headers or ()),
    )


def _acknowledgement(events: list[Any]) -> Acknowledge:
    def acknowledge() -> None:
        for event in events:
            event.ack()

    return acknowledge
