"""The memory of crashes, on a real Redis; and life without it."""

from __future__ import annotations

import uuid

import structlog

from streams import store
from streams.record import Record
from streams.settings import Redis
from streams.suspects import Suspects

LOG = structlog.wrap_logger(structlog.testing.CapturingLogger())


def batch(first: int, last: int, partition: int = 0) -> list[Record]:
    return [Record("t.v1", partition, offset, 0, b"k", b"v") for offset in range(first, last + 1)]


async def test_what_a_dead_worker_had_in_flight_is_suspicious_to_its_successor(redis_server: str) -> None:
    """Only the noted range, only until it has been worked off."""
    client = store.connect(Redis(url=redis_server))
    group = uuid.uuid4().hex
    dead = Suspects(client, group, clock=lambda: 0.0, log=LOG)
    await dead.begin(batch(10, 19))
    await dead.begin(batch(20, 29))
    await dead.done(batch(10, 19))

    successor = Suspects(client, group, clock=lambda: 0.0, log=LOG)
    await successor.begin(batch(15, 24))
    assert not successor.suspicious(batch(10, 19))
    assert successor.suspicious(batch(15, 24))
    assert not successor.suspicious(batch(20, 24, partition=1))
    await successor.done(batch(15, 24))
    assert successor.suspicious(batch(25, 29))
    await successor.done(batch(25, 29))
    assert not successor.suspicious(batch(25, 29))
    third = Suspects(client, group, clock=lambda: 0.0, log=LOG)
    await third.begin(batch(30, 30))
    assert not third.suspicious(batch(10, 29))
    await client.aclose()


async def test_deaths_are_counted_per_record_and_forgotten_when_it_survives(redis_server: str) -> None:
    """The death in the batch counts as the first."""
    client = store.connect(Redis(url=redis_server))
    suspects = Suspects(client, uuid.uuid4().hex, clock=lambda: 0.0, log=LOG)
    one, other = batch(5, 6)
    assert [await suspects.deaths_before(one) for _ in range(3)] == [1, 2, 3]
    assert await suspects.deaths_before(other) == 1
    await suspects.survived(one)
    assert await suspects.deaths_before(one) == 1
    await client.aclose()


async def test_a_live_batch_of_this_worker_is_not_suspicious_to_itself(redis_server: str) -> None:
    """Notes are about the dead only."""
    client = store.connect(Redis(url=redis_server))
    suspects = Suspects(client, uuid.uuid4().hex, clock=lambda: 0.0, log=LOG)
    for rows in (batch(0, 9), batch(10, 19)):
        await suspects.begin(rows)
        assert not suspects.suspicious(rows)
    await client.aclose()


async def test_without_redis_the_stream_goes_on(redis_server: str) -> None:
    """An unreachable store pauses the guard and disturbs nothing."""
    client = store.connect(Redis(url="redis://127.0.0.1:1/0", timeout_s=0.2))
    suspects = Suspects(client, "g", clock=lambda: 0.0, log=LOG)
    await suspects.begin(batch(0, 9))
    await suspects.done(batch(0, 9))
    assert not suspects.suspicious(batch(0, 9))
    assert await suspects.deaths_before(batch(0, 0)[0]) == 0
    await client.aclose()
