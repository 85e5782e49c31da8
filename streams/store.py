"""Redis with timeouts, and with its errors in our tree: out of reach or out of memory is ``StoreUnavailable``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis.asyncio
from redis import exceptions
from redis.asyncio.client import Pipeline

from schemas.errors import StoreUnavailable
from streams.clients import read_secret
from streams.settings import Redis

_UNAVAILABLE = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.BusyLoadingError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.NoPermissionError,  # a wrong access list must hold records up, not make dead letters of them
    OSError,
)
#: First words of refusals that pass when Redis has room, a disk, its data or its master again. A script's refusal comes as an error of the script,
#: with the word behind a hyphen.
_PASSING = re.compile(r"(?:^|[\s'(\"-])(?:OOM|MISCONF|NOREPLICAS|READONLY|MASTERDOWN|CLUSTERDOWN|LOADING|TRYAGAIN|BUSY) ")


class Store(redis.asyncio.Redis):
    """``redis.asyncio.Redis`` whose commands and pipelines raise ``StoreUnavailable`` instead of transport errors.

    ``WatchError`` and errors of a wrong command pass unchanged.
    """

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        with store_errors():
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> StorePipeline:
        return StorePipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class StorePipeline(Pipeline):
    async def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        with store_errors():
            return await super().immediate_execute_command(*args, **options)  # type: ignore[no-untyped-call]

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        with store_errors():
            answers: list[Any] = await super().execute(raise_on_error)
            return answers


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn transport errors of the block into ``StoreUnavailable``; their texts are dropped (they can quote a command)."""
    try:
        yield
    except _UNAVAILABLE as error:
        raise StoreUnavailable(path=type(error).__name__) from None
    except exceptions.ResponseError as error:
        if _PASSING.search(str(error).rpartition("caused error: ")[2][:400]) is None:
            raise
        raise StoreUnavailable(path=type(error).__name__) from None


def connect(settings: Redis) -> Store:
    """A client that opens connections on first use; every command ends within ``timeout_s``. Close with ``aclose()``.

    Raises:
        ConfigurationError: the password file cannot be read.
    """
    password = read_secret(settings.password_file, "redis.password_file") if settings.password_file else None
    pool = redis.asyncio.ConnectionPool.from_url(
        settings.url,
        **({"password": password} if password else {}),
        socket_timeout=settings.timeout_s,
        socket_connect_timeout=settings.timeout_s,
        health_check_interval=30,
    )
    client = Store(connection_pool=pool)
    client.auto_close_connection_pool = True  # ours alone: closing the client closes the pool
    return client
