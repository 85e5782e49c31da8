"""The ledger of acknowledged HL7 messages: keyed hash of (MSH-3, MSH-4, MSH-10) -> SHA-256 of the payload, in Redis.

It saves a resent message a second record. It is never the only guard: the record's id is deterministic, so that when Redis is
away, slow or has forgotten, the message is produced again under the same id and everything downstream overwrites.
Entries are written only after Kafka's delivery report.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from redis.exceptions import RedisError

from schemas.errors import StoreUnavailable
from streams.store import Store

#: A message waits at most this long for the ledger; without an answer it is treated as new (reliability first, then thrift).
PATIENCE_S = 0.25
#: After a failure the ledger is not asked for this long, so that an outage costs one wait and not one per message.
REST_S = 1.0
#: Entries may wait this long for a look-up to travel with; until then the message counts as ongoing, which guards it as well.
RECORD_DELAY_S = 0.02


#: One command for a batch of entries; the client's cost of a SET each was as much as all else that a message costs here.
_RECORD = "for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[i + 1], 'EX', ARGV[1]) end"


class Ledger(Protocol):
    async def find(self, key: bytes) -> bytes | None:
        """Digest of the message acknowledged under ``key``; ``None`` when unknown or when the ledger cannot tell."""

    async def record(self, key: bytes, digest: bytes) -> None:
        """Remember; a failure is counted, never raised."""


class MemoryLedger:
    """For one process without Redis (tests, offline)."""

    def __init__(self) -> None:
        self._rows: dict[bytes, bytes] = {}

    async def find(self, key: bytes) -> bytes | None:
        return self._rows.get(key)

    async def record(self, key: bytes, digest: bytes) -> None:
        self._rows[key] = digest


class RedisLedger:
    """Looks up and records in batches: whatever arrived while the last round trip was under way goes together in the next.

    Args:
        namespace: the installation's topic prefix; what one installation has stored, another has not.
        store: its own timeout should not be longer than ``PATIENCE_S``.
        ttl_s: how long a resend is recognised.
        monotonic: clock of the rest after a failure, seconds.
        failed: called once for each failed round trip.
    """

    def __init__(
        self,
        store: Store,
        *,
        namespace: str,
        ttl_s: int,
        monotonic: Callable[[], float],
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._prefix = f"{namespace}gateway:acknowledged:".encode()
        self._store = store
        self._ttl_s = ttl_s
        self._monotonic = monotonic
        self._failed = failed
        self._resting_until = 0.0
        self._finds: list[tuple[bytes, asyncio.Future[bytes | None]]] = []
        self._records: list[tuple[bytes, bytes, asyncio.Future[None]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None

    async def find(self, key: bytes) -> bytes | None:
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._finds.append((key, future))
        self._wake()
        return await future

    async def record(self, key: bytes, digest: bytes) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._records.append((key, digest, future))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(RECORD_DELAY_S, self._due)
        await future

    def _due(self) -> None:
        self._timer = None
        self._wake()

    def _wake(self) -> None:
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    async def _flush(self) -> None:
        while self._finds or self._records:
            finds, self._finds = self._finds, []
            records, self._records = self._records, []
            found = await self._round_trip(finds, records)
            for (_, future), value in zip(finds, found, strict=True):
                if not future.done():
                    future.set_result(value)
            for *_, done in records:
                if not done.done():
                    done.set_result(None)

    async def _round_trip(
        self,
        finds: list[tuple[bytes, asyncio.Future[bytes | None]]],
        records: list[tuple[bytes, bytes, asyncio.Future[None]]],
    ) -> list[bytes | None]:
        nothing: list[bytes | None] = [None] * len(finds)
        if self._monotonic() < self._resting_until:
            return nothing
        try:
            async with asyncio.timeout(PATIENCE_S), self._store.pipeline(transaction=False) as pipe:
                if records:
                    keys = [self._prefix + key for key, _, _ in records]
                    pipe.eval(_RECORD, len(keys), *keys, self._ttl_s, *(digest for _, digest, _ in records))
                if finds:
                    pipe.mget([self._prefix + key for key, _ in finds])
                answers = await pipe.execute()
        except (StoreUnavailable, RedisError, OSError, TimeoutError):
            self._resting_until = self._monotonic() + REST_S
            self._failed()
            return nothing
        return list(answers[-1]) if finds else nothing
