"""The stage ``watch`` on a real Redis: what it tells, once, however many workers there are and however often a message comes."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import random
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.feedback import watch_store
from agents.feedback.drift import make_baseline
from agents.feedback.watch_agent import WatchStage
from schemas.drifts import Drift
from schemas.errors import ConfigurationError, StoreUnavailable
from schemas.flags import Decision
from streams import drift_marks
from streams.health import Health
from streams.metrics import StreamMetrics
from streams.settings import Kafka, Redis, Settings, Watch
from streams.stage import Refused
from streams.store import connect
from tests.support.watch import batches, drawn, record, told

LEARN = 200


def made(redis_server: str, **watch: Any) -> Settings:
    return Settings(
        redis=Redis(url=redis_server),
        kafka=Kafka(topic_prefix=f"{uuid.uuid4().hex[:8]}."),
        watch=Watch(**({"learn": LEARN} | watch)),
    )


@asynccontextmanager
async def stage(settings: Settings, metrics: StreamMetrics | None = None) -> AsyncIterator[WatchStage]:
    running = WatchStage(settings, clock=itertools.count(0, 100).__next__)
    if metrics is not None:
        running.observe(metrics, Health())
    await running.open()
    try:
        yield running
    finally:
        await running.close()


def stream(count: int, seed: int = 1, first: int = 0, **changes: Any) -> Iterator[Decision]:
    chance = random.Random(seed)
    return (drawn(chance, first + number, **changes) for number in range(count))


async def run(running: WatchStage, decisions: Iterator[Decision]) -> list[Drift]:
    found: list[Drift] = []
    for batch in batches(decisions):
        found += told(await running.process(batch))
    return found


async def test_a_shift_begins_once_and_ends_once(redis_server: str) -> None:
    """For the sender and for the department, within 500 messages; when it is over another record says so, under the beginning's id."""
    async with stage(made(redis_server)) as running:
        assert await run(running, stream(LEARN + 300)) == []
        begun = await run(running, stream(500, seed=2, first=2000, score=0.75))
        assert {(row.feature, row.department, row.state) for row in begun} == {
            ("confidence", "", "begun"), ("confidence", "D1", "begun"),
        }  # fmt: skip
        assert await run(running, stream(300, seed=3, first=3000, score=0.75)) == []
        ended = await run(running, stream(1000, seed=4, first=4000))
    assert {(row.feature, row.department, row.state) for row in ended} == {
        ("confidence", "", "ended"),
        ("confidence", "D1", "ended"),
    }
    assert {row.begun for row in ended} == {row.id for row in begun}
    assert {row.begun for row in begun} == {row.id for row in begun}
    one = begun[0]
    assert one.now < one.before - 0.02
    assert (one.sender, one.kind, one.entity_model) == ("S1", "ORU^R01", "wardstream-entities/1")


async def test_a_department_of_a_sender_that_shifts_alone_is_named(redis_server: str) -> None:
    """Its records name it; the other department's stay silent."""
    async with stage(made(redis_server)) as running:
        chance = random.Random(5)
        for number in range(LEARN * 2 + 400):
            await running.process([record(drawn(chance, number, department=f"D{number % 2}"))])
        found = [
            row
            for number in range(1000)
            for row in told(
                await running.process(
                    [record(drawn(chance, 5000 + number, department=f"D{number % 2}", negated=0.2 if number % 2 else 0.9))]
                )
            )
        ]
    assert {row.department for row in found} == {"", "D0"}
    assert {row.feature for row in found} == {"negated"}


async def test_a_message_that_comes_again_tells_the_same_and_counts_once(redis_server: str) -> None:
    """The whole batch that filled the block, by another worker."""
    settings = made(redis_server)
    async with stage(settings) as one, stage(settings) as other:
        await run(one, stream(LEARN))
        shifted = list(stream(500, seed=2, first=2000, score=0.75))
        rows = list(batches(iter(shifted), 50))
        for batch in rows:
            outcomes = await one.process(batch)
            assert await other.process(batch) == outcomes
        again = [row for batch in rows for row in told(await other.process(batch))]
        assert {row.feature for row in again} == {"confidence"}
        assert len({row.id for row in again}) == len(again) == 2
        groups = await one._store.groups()  # type: ignore[union-attr]
        assert {count for _, count in groups} == {LEARN + 500}


async def test_without_the_memory_of_messages_the_same_test_fails(redis_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a store that remembers none counts a batch that comes again twice."""
    monkeypatch.setattr(watch_store, "_REMEMBERED", 0)
    async with stage(made(redis_server)) as running:
        for _ in range(2):
            await run(running, stream(50))
        assert {count for _, count in await running._store.groups()} == {100}  # type: ignore[union-attr]


async def test_a_worker_that_dies_after_counting_owes_nothing(redis_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted but not judged: when the batch comes again, or a later one, what should have been told is told."""
    settings = made(redis_server)
    async with stage(settings) as one, stage(settings) as other:
        await run(one, stream(LEARN))
        whole = list(batches(stream(500, seed=2, first=2000, score=0.75), 50))

        async def dies(*_: object) -> tuple[Drift, ...]:
            raise StoreUnavailable(path="gone")

        with monkeypatch.context() as patched:
            patched.setattr(one, "_judged", dies)
            for batch in whole:
                try:
                    await one.process(batch)
                except StoreUnavailable:
                    continue
        found = [row for batch in whole for row in told(await other.process(batch))]
        assert {(row.feature, row.department) for row in found} == {("confidence", ""), ("confidence", "D1")}


async def test_several_workers_tell_each_beginning_once(redis_server: str) -> None:
    """Four at once on the batches of one stream."""
    settings = made(redis_server)
    rows = list(batches(itertools.chain(stream(LEARN), stream(600, seed=2, first=2000, score=0.75)), 25))
    found: list[Drift] = []
    async with stage(settings) as a, stage(settings) as b, stage(settings) as c, stage(settings) as d:
        queue = iter(rows)

        async def work(running: WatchStage) -> None:
            for batch in queue:
                found.extend(told(await running.process(batch)))

        await asyncio.gather(*map(work, (a, b, c, d)))
        groups = await a._store.groups()  # type: ignore[union-attr]
    assert {count for _, count in groups} == {LEARN + 600}
    assert sorted((row.feature, row.department, row.state) for row in found if row.feature == "confidence") == [
        ("confidence", "", "begun"), ("confidence", "D1", "begun"),
    ]  # fmt: skip


async def test_another_model_is_no_drift(redis_server: str) -> None:
    """Its confidences have a baseline of their own; the same numbers under the old model are drift (the test before)."""
    async with stage(made(redis_server)) as running:
        await run(running, stream(LEARN + 200))
        assert await run(running, stream(LEARN + 400, seed=2, first=5000, score=0.75, model="wardstream-entities/2")) == []


async def test_a_baseline_from_a_file_needs_no_learning(redis_server: str, tmp_path: Path) -> None:
    """A shift in the first messages that the stage ever sees is told."""
    path = tmp_path / "before.json"
    path.write_bytes(msgspec.json.encode(make_baseline(stream(500), "2026-01-01T00:00:00Z")))
    async with stage(made(redis_server, baseline=path)) as running:
        found = await run(running, stream(300, seed=2, first=2000, score=0.75))
    assert {row.feature for row in found} == {"confidence"}


async def test_a_file_that_is_no_baseline_stops_the_start(redis_server: str, tmp_path: Path) -> None:
    """Not a worker that watches against nothing."""
    path = tmp_path / "before.json"
    path.write_text("{}")
    with pytest.raises(ConfigurationError):
        await WatchStage(made(redis_server, baseline=path)).open()


async def test_metrics_and_marks(redis_server: str) -> None:
    """A counter of beginnings, a gauge of what stands, and the mark by which the feedback stage picks samples; no pseudonym in a label."""
    settings, metrics = made(redis_server), StreamMetrics()
    sender = uuid.uuid4().hex
    redis = connect(settings.redis)
    async with stage(settings, metrics) as running:
        await run(running, stream(LEARN, sender=sender))
        assert not await drift_marks.marked(redis, sender, "ORU^R01")
        await run(running, stream(500, seed=2, first=2000, score=0.75, sender=sender))
        assert await drift_marks.marked(redis, sender, "ORU^R01")
        await running.process([])
    get = metrics.registry.get_sample_value
    labels = {"feature": "confidence", "kind": "ORU^R01"}
    assert get("wardstream_drift_records_total", labels | {"state": "begun"}) == 2
    assert get("wardstream_drift_standing", labels) == 2
    await redis.aclose()


async def test_groups_are_bounded(redis_server: str) -> None:
    """A sender that calls itself anew with each message fills nothing; those that are known go on being watched."""
    metrics = StreamMetrics()
    async with stage(made(redis_server, groups=6), metrics) as running:
        await run(running, stream(10))
        chance = random.Random(3)
        for number in range(50):
            await running.process([record(drawn(chance, number, sender=f"X{number}", department=""))])
        groups = await running._store.groups()  # type: ignore[union-attr]
        assert len(groups) == 6
        assert metrics.registry.get_sample_value("wardstream_drift_unwatched_total") == 46
        await run(running, stream(10, first=500))
        assert {count for group, count in await running._store.groups() if group.sender == "S1"} == {20}  # type: ignore[union-attr]


async def test_a_forgotten_group_learns_anew(redis_server: str) -> None:
    """What shifted is the new normal."""
    async with stage(made(redis_server)) as running:
        await run(running, stream(LEARN))
        assert await run(running, stream(400, seed=2, first=2000, score=0.75))
        store = running._store
        assert store is not None
        assert await store.standing()
        for group, _ in await store.groups():
            await store.forget(group)
        assert await store.standing() == []
        assert await run(running, stream(LEARN + 300, seed=3, first=5000, score=0.75)) == []


async def test_drift_of_a_sender_that_fell_silent_stands_no_longer(redis_server: str) -> None:
    """Nor does that of a model that was taken back: nobody would ever end it."""
    settings = made(redis_server)
    redis = connect(settings.redis)
    async with stage(settings) as running:
        await run(running, stream(LEARN))
        await run(running, stream(400, seed=2, first=2000, score=0.75))
        store = running._store
        assert store is not None
        assert await store.standing()
        name = f"{settings.kafka.topic_prefix}watch:groups"
        for group in await redis.zrange(name, 0, -1):
            await redis.zincrby(name, -4 * 86_400, group)
        assert await store.standing() == []
        await run(running, stream(1, seed=3, first=3000))
        assert await store.standing()
    await redis.aclose()


async def test_a_record_that_is_no_decision_is_refused(redis_server: str) -> None:
    """With its code; the others of the batch count."""
    async with stage(made(redis_server)) as running:
        good = record(drawn(random.Random(1), 1))
        outcomes = await running.process([dataclasses.replace(good, value=b"{}"), good])
        assert isinstance(outcomes[0], Refused)
        assert not isinstance(outcomes[1], Refused)
