"""What waits for each subscriber, in Redis: event numbers, notifications in their order, and which process sends them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import cast

import msgspec

from agents.publish.notification import News, Status
from agents.publish.subscriptions import Subscription
from streams.store import Store

#: As long as a record can be redelivered or replayed from the input topic (its retention).
KEPT_S = 14 * 86_400

_NEWS = msgspec.msgpack.Decoder(News)

#: KEYS: state, waiting, seen. ARGV: news, number of events, most that may wait, seconds kept. A record that comes again is not counted again.
_ADD = """
if not redis.call('SET', KEYS[3], 1, 'NX', 'EX', ARGV[4]) then return 0 end
local last = redis.call('HINCRBY', KEYS[1], 'events', ARGV[2])
redis.call('ZADD', KEYS[2], last, last .. ':' .. ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[4])
local over = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[3])
if over > 0 then redis.call('ZPOPMIN', KEYS[2], over) end
return 1
"""
#: KEYS: lease. ARGV: whose, milliseconds.
_LEASE = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
#: KEYS: lease. ARGV: whose.
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


@dataclass(frozen=True, slots=True)
class State:
    """``status`` None: this endpoint has not been asked yet."""

    events: int
    status: Status | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """``last``: number of the last of its events; ``key``: what to hand back when it is told."""

    last: int
    news: News
    key: bytes


class Outbox:
    """Of one subscription. Every method raises StoreUnavailable.

    Args:
        stage: whose key names these are (Redis users are made by it).
        prefix: puts installations beside each other.
    """

    def __init__(self, store: Store, subscription: Subscription, *, stage: str, kept: int, prefix: str = "") -> None:
        self._store, self._most = store, kept
        self._key = f"{prefix}{stage}:{subscription.name}:"
        self._endpoint = hashlib.sha256(subscription.endpoint.encode()).hexdigest()

    async def add(self, record: str, news: News) -> None:
        """Count the events of this record and let them wait; a record that was there before changes nothing."""
        keys = (self._key + "state", self._key + "waiting", f"{self._key}seen:{record}")
        await self._store.eval(_ADD, len(keys), *keys, msgspec.msgpack.encode(news), news.count, self._most, KEPT_S)

    async def lease(self, owner: str, seconds: float) -> bool:
        """Whether ``owner`` may send for so long; others wait until it no longer asks."""
        return bool(await self._store.eval(_LEASE, 1, self._key + "lease", owner, int(seconds * 1000)))

    async def release(self, owner: str) -> None:
        """Let another send at once."""
        await self._store.eval(_RELEASE, 1, self._key + "lease", owner)

    async def state(self) -> State:
        found = cast("dict[bytes, bytes]", await self._store.hgetall(self._key + "state"))
        known = found.get(b"endpoint", b"").decode() == self._endpoint
        return State(int(found.get(b"events", 0)), cast("Status", found[b"status"].decode()) if known else None)

    async def mark(self, status: Status) -> None:
        await self._store.hset(self._key + "state", mapping={"status": status, "endpoint": self._endpoint})

    async def first(self) -> Waiting | None:
        """The oldest that waits."""
        for key in cast("list[bytes]", await self._store.zrange(self._key + "waiting", 0, 0)):
            last, _, news = key.partition(b":")
            return Waiting(int(last), _NEWS.decode(news), key)
        return None

    async def told(self, waiting: Waiting) -> None:
        await self._store.zrem(self._key + "waiting", waiting.key)
