"""Records that kill the process: what was in flight when a worker died is tried again one by one, and counted.

A native crash or the kernel's memory killer leaves no exception to catch. Before a batch is processed its offset ranges are
noted in Redis; they are struck out when the batch is done. A worker that is handed records of a noted range knows that somebody
died over them: it processes them alone, each with a counter, and refuses a record at which the process has died
``FATAL_DEATHS`` times (the first death, in the batch, counted). Without Redis the stream goes on without this guard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import redis.asyncio
import structlog

from schemas.errors import StoreUnavailable
from streams.record import Record

FATAL_DEATHS = 3

_KEEP_S = 86_400
_PAUSE_S = 30.0

Place = tuple[str, int]


def ranges(records: Sequence[Record]) -> dict[Place, tuple[int, int]]:
    """First and last offset of each partition in a batch."""
    found: dict[Place, tuple[int, int]] = {}
    for record in records:
        place = (record.topic, record.partition)
        first, last = found.get(place, (record.offset, record.offset))
        found[place] = (min(first, record.offset), max(last, record.offset))
    return found


class Suspects:
    """One per worker. ``store`` None switches the guard off."""

    def __init__(
        self,
        store: redis.asyncio.Redis | None,
        group: str,
        *,
        clock: Callable[[], float],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._store = store
        self._noted = f"wardstream:inflight:{group}"
        self._deaths = f"wardstream:deaths:{group}"
        self._clock = clock
        self._log = log
        self._silent_until = 0.0
        self._left: dict[Place, list[tuple[int, int]]] = {}
        self._known: set[Place] = set()

    def forget(self) -> None:
        """Partitions were revoked: what others leave on them meanwhile must be read again."""
        self._left = {}
        self._known = set()

    def suspicious(self, records: Sequence[Record]) -> bool:
        """Whether any record lies in a range that a worker died over."""
        return bool(self._left) and any(
            first <= record.offset <= last
            for record in records
            for first, last in self._left.get((record.topic, record.partition), ())
        )

    async def begin(self, records: Sequence[Record]) -> None:
        """Note a batch as in flight; the first batch of a partition also reads what dead workers left there."""
        if (store := self._usable()) is None:
            return
        places = ranges(records)
        fields = {f"{topic}/{partition}/{first}": str(last) for (topic, partition), (first, last) in places.items()}
        try:
            if not self._known.issuperset(places):
                self._read(await store.hgetall(self._noted))  # type: ignore[arg-type]
                self._known |= set(places)
            async with store.pipeline(transaction=False) as pipe:
                pipe.hset(self._noted, mapping=fields)  # type: ignore[arg-type]
                pipe.expire(self._noted, _KEEP_S)
                await pipe.execute()
        except StoreUnavailable as error:
            self._rest(error)

    def _read(self, rows: dict[bytes, bytes]) -> None:
        found: dict[Place, list[tuple[int, int]]] = {}
        for field, last in rows.items():
            topic, partition, first = field.decode().rsplit("/", 2)
            found.setdefault((topic, int(partition)), []).append((int(first), int(last)))
        self._left |= {place: spans for place, spans in found.items() if place not in self._known}

    async def done(self, records: Sequence[Record]) -> None:
        """Strike a batch out, and whatever dead workers had noted up to its end."""
        if (store := self._usable()) is None:
            return
        fields = [f"{topic}/{partition}/{first}" for (topic, partition), (first, _) in ranges(records).items()]
        for place, (_, end) in ranges(records).items():
            left = self._left.get(place, [])
            fields += [f"{place[0]}/{place[1]}/{first}" for first, last in left if last <= end]
            kept = [(first, last) for first, last in left if last > end]
            if kept:
                self._left[place] = kept
            else:
                self._left.pop(place, None)
        try:
            await store.hdel(self._noted, *dict.fromkeys(fields))
        except StoreUnavailable as error:
            self._rest(error)

    async def deaths_before(self, record: Record) -> int:
        """Count this attempt, and say at how many attempts the process has died before it."""
        if (store := self._usable()) is None:
            return 0
        try:
            async with store.pipeline(transaction=False) as pipe:
                pipe.hincrby(self._deaths, _name(record), 1)
                pipe.expire(self._deaths, _KEEP_S)
                counted, _ = await pipe.execute()
        except StoreUnavailable as error:
            self._rest(error)
            return 0
        return int(counted)  # the attempt in the batch, plus those counted here, minus the present one

    async def survived(self, record: Record) -> None:
        """The record's attempt has ended and the process is still there."""
        if (store := self._usable()) is None:
            return
        try:
            await store.hdel(self._deaths, _name(record))
        except StoreUnavailable as error:
            self._rest(error)

    def _usable(self) -> redis.asyncio.Redis | None:
        return None if self._store is None or self._clock() < self._silent_until else self._store

    def _rest(self, error: StoreUnavailable) -> None:
        self._silent_until = self._clock() + _PAUSE_S
        self._log.warning("crash_guard_paused", reason=error.reason.value, delay_s=_PAUSE_S)


def _name(record: Record) -> str:
    return f"{record.topic}/{record.partition}/{record.offset}"
