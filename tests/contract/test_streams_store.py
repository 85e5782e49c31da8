"""Redis as the stages see it: real server, our errors."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

import pytest
from redis.exceptions import ResponseError, WatchError

from schemas.errors import StoreUnavailable
from streams import store
from streams.settings import Redis


async def test_commands_pipelines_and_watches_work_as_in_redis(redis_server: str) -> None:
    """The wrapper changes errors only."""
    client = store.connect(Redis(url=redis_server))
    async with client.pipeline() as pipe:
        pipe.set("streams-store:a", b"1")
        pipe.get("streams-store:a")
        assert await pipe.execute() == [True, b"1"]
    async with client.pipeline() as pipe:
        await pipe.watch("streams-store:a")
        await client.set("streams-store:a", b"2")
        pipe.multi()
        pipe.set("streams-store:a", b"3")
        with pytest.raises(WatchError):
            await pipe.execute()
    with pytest.raises(ResponseError):
        await client.lpush("streams-store:a", b"x")
    await client.aclose()


async def test_a_store_out_of_reach_is_retryable_and_says_nothing_of_the_command() -> None:
    """Connection errors become StoreUnavailable, in commands and in pipelines."""
    client = store.connect(Redis(url="redis://127.0.0.1:1/0", timeout_s=0.2))
    with pytest.raises(StoreUnavailable) as caught:
        await client.set("patient-key", b"secret")
    assert "patient-key" not in str(caught.value)
    assert caught.value.__cause__ is None
    async with client.pipeline() as pipe:
        pipe.get("x")
        with pytest.raises(StoreUnavailable):
            await pipe.execute()
    await client.aclose()


async def _all(writes: Iterable[Awaitable[object]]) -> None:
    for write in writes:
        await write


async def test_a_full_store_is_retryable(redis_server: str) -> None:
    """Redis without memory and without eviction refuses writes; they are tried again, never dropped."""
    client = store.connect(Redis(url=redis_server))
    await client.config_set("maxmemory", "1mb")
    try:
        writes = (client.set(f"streams-store:fill:{number}", bytes(100_000)) for number in range(50))
        with pytest.raises(StoreUnavailable):
            await _all(writes)
    finally:
        await client.config_set("maxmemory", "0")
        await client.delete(*[f"streams-store:fill:{number}" for number in range(50)])
        await client.aclose()


async def test_a_full_store_is_retryable_in_scripts_too(redis_server: str) -> None:
    """Found by the fault suite: a script's refusal comes as an error of the script, and a full Redis made dead letters of good messages."""
    client = store.connect(Redis(url=redis_server))
    script = "redis.call('SET', KEYS[1], ARGV[1]) return 1"
    await client.config_set("maxmemory", "1")
    try:
        with pytest.raises(StoreUnavailable):
            await client.eval(script, 1, "streams-store:script", b"x")
        async with client.pipeline(transaction=False) as pipe:
            pipe.eval(script, 1, "streams-store:script", b"x")
            with pytest.raises(StoreUnavailable):
                await pipe.execute()
        async with client.pipeline(transaction=True) as pipe:
            pipe.set("streams-store:script", b"x")
            with pytest.raises(StoreUnavailable):
                await pipe.execute()
    finally:
        await client.config_set("maxmemory", "0")
        await client.aclose()


async def test_a_wrong_script_is_no_outage(redis_server: str) -> None:
    """What no waiting mends passes unchanged, so that it becomes a dead letter and not an endless repetition."""
    client = store.connect(Redis(url=redis_server))
    try:
        with pytest.raises(ResponseError):
            await client.eval("return redis.call('LPUSH', KEYS[1])", 1, "streams-store:script")
    finally:
        await client.aclose()
