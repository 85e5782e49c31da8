"""Where the watch over drift keeps its counts: Redis, shared by all workers of the stage, a bounded number of small hashes a group.

Counting adds up whatever the order, and a message that was counted among the last ``_REMEMBERED`` of its group is not counted again: the place
it had comes back instead. So the message that filled a block is the same one whoever asks, however often.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from agents.feedback.drift import Counts, Group, total
from agents.feedback.features import FEATURES
from agents.feedback.watch import BLOCKS, STEP, State
from schemas.drifts import Drift
from streams.settings import Settings
from streams.store import Store, connect

#: Messages of a group that are known again: what eight workers hold at once (two batches of 64 each).
_REMEMBERED: Final = 1024
#: Blocks kept: those of a window, and of the windows that a message which comes again may still ask for.
_KEPT_BLOCKS: Final = 3 * BLOCKS
#: Comparisons that are made up for when the worker that owed them died.
_CATCH_UP: Final = BLOCKS
_DAY_S: Final = 86_400
_SILENT_S: Final = 3 * _DAY_S

#: KEYS: ids, state, baseline, groups. ARGV: group, what it is, message, messages of the baseline, block size, kept ids, TTL, most groups,
#: prefix of blocks, kept blocks, fields in one line. Answers the message's place in its group from 0, or -1 where there is no room for another group.
_COUNT = """
local known = redis.call('ZSCORE', KEYS[1], ARGV[3])
if known then return tonumber(known) end
local now, ttl = tonumber(redis.call('TIME')[1]), tonumber(ARGV[7])
if not redis.call('ZSCORE', KEYS[4], ARGV[1]) then
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - ttl)
  if redis.call('ZCARD', KEYS[4]) >= tonumber(ARGV[8]) then return -1 end
  redis.call('HSET', KEYS[2], 'group', ARGV[2])
end
redis.call('ZADD', KEYS[4], now, ARGV[1])
local place = redis.call('HINCRBY', KEYS[2], 'n', 1) - 1
redis.call('ZADD', KEYS[1], place, ARGV[3])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -tonumber(ARGV[6]) - 1)
local counts, learned = KEYS[3], tonumber(ARGV[4])
if place >= learned then
  local block = math.floor((place - learned) / tonumber(ARGV[5]))
  counts = ARGV[9] .. block
  redis.call('DEL', ARGV[9] .. (block - tonumber(ARGV[10])))
  redis.call('HSET', KEYS[2], 'b', block)
end
redis.call('HINCRBY', counts, 'n', 1)
for field in string.gmatch(ARGV[11], '%S+') do redis.call('HINCRBY', counts, field, 1) end
for _, key in ipairs({KEYS[1], KEYS[2], KEYS[3], counts}) do redis.call('EXPIRE', key, ttl) end
return place
"""

#: KEYS: state, standing. ARGV: expected revision, state, group, what stands (empty: nothing). 0: somebody else was first.
_COMMIT = """
if tonumber(redis.call('HGET', KEYS[1], 'r') or '0') ~= tonumber(ARGV[1]) then return 0 end
redis.call('HINCRBY', KEYS[1], 'r', 1)
redis.call('HSET', KEYS[1], 's', ARGV[2])
if ARGV[4] == '' then redis.call('HDEL', KEYS[2], ARGV[3]) else redis.call('HSET', KEYS[2], ARGV[3], ARGV[4]) end
return 1
"""

_STATE = msgspec.msgpack.Decoder(State)
_GROUP = msgspec.msgpack.Decoder(Group)
_STANDING = msgspec.msgpack.Decoder(tuple[Drift, ...])
_ENCODER = msgspec.msgpack.Encoder()
_NUMBER = {name: number for number, name in enumerate(FEATURES)}


@dataclass(frozen=True, slots=True)
class Held:
    """A group as it stands. ``baseline`` holds the counts of ``learned`` messages, ``blocks`` those of the newest, full or not."""

    state: State
    revision: int
    baseline: Counts
    learned: int
    blocks: dict[int, tuple[int, Counts]]

    def window(self, block: int) -> tuple[int, Counts]:
        """Messages and counts of the blocks that end with ``block``."""
        chosen = [row for number, row in self.blocks.items() if block - BLOCKS < number <= block]
        return sum(messages for messages, _ in chosen), total(counts for _, counts in chosen)


class WatchStore:
    """``ttl_s``: a group without messages is forgotten after it; ``most``: groups at a time, so that a sender that calls itself anew with each
    message fills nothing. Raises StoreUnavailable."""

    def __init__(self, redis: Store, *, prefix: str, ttl_s: int, most: int) -> None:
        self._redis, self._ttl_s, self._most = redis, ttl_s, most
        self._prefix = f"{prefix}watch:"

    async def count(self, rows: Sequence[tuple[Group, str, Mapping[str, int], int]]) -> list[int]:
        """The place of each message in its group, from 0; -1: not watched, there are too many groups.

        Args:
            rows: group, id of the decision, bins by feature, and how many messages of the group come before the first block.
        """
        if not rows:
            return []
        pipeline = self._redis.pipeline(transaction=False)
        for group, decision, bins, learned in rows:
            name = group.id
            keys = (*(self._key(part, name) for part in ("ids", "state", "baseline")), f"{self._prefix}groups")
            fields = " ".join([f"{_NUMBER[feature]}:{number}" for feature, number in bins.items()])
            pipeline.eval(
                _COUNT, len(keys), *keys, name, _ENCODER.encode(group), _short(decision), learned, STEP, _REMEMBERED, self._ttl_s, self._most,
                self._key("block", name) + ":", _KEPT_BLOCKS, fields,
            )  # fmt: skip
        return [int(answer) for answer in await pipeline.execute()]

    async def load(self, group: Group, block: int) -> Held:
        """With the blocks up to ``block`` that a judgement of it, or of those before it that nobody judged, needs."""
        name = group.id
        numbers = list(range(max(0, block - BLOCKS - _CATCH_UP + 1), block + 1))
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hmget(self._key("state", name), "s", "r")
        pipeline.hgetall(self._key("baseline", name))
        for number in numbers:
            pipeline.hgetall(f"{self._key('block', name)}:{number}")
        (state, revision), baseline, *blocks = await pipeline.execute()
        learned, counts = _read(baseline)
        found = {number: _read(row) for number, row in zip(numbers, blocks, strict=True) if row}
        return Held(_STATE.decode(state) if state else State(), int(revision or 0), counts, learned, found)

    async def newest(self, group: Group) -> int:
        """The block that is being filled; -1: the baseline is."""
        number = await self._redis.hget(self._key("state", group.id), "b")
        return -1 if number is None else int(number)

    async def commit(self, group: Group, revision: int, state: State) -> bool:
        """``False``, and nothing written, when somebody else judged meanwhile."""
        standing = tuple(held.record for held in state.standing.values())
        keys = (self._key("state", group.id), f"{self._prefix}standing")
        told = _ENCODER.encode(standing) if standing else b""
        answer = await self._redis.eval(_COMMIT, len(keys), *keys, revision, _ENCODER.encode(state), group.id, told)
        return bool(answer == 1)

    async def standing(self) -> list[Drift]:
        """The records of all drift that has begun and not ended, but of groups that have been silent for days: their sender is gone, or another
        model reads its messages."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hgetall(f"{self._prefix}standing")
        pipeline.zrange(f"{self._prefix}groups", 0, -1, withscores=True)
        pipeline.time()
        rows, groups, (now, _) = await pipeline.execute()
        heard = {name: now - seen for name, seen in groups}
        if gone := [name for name in rows if heard.get(name, self._ttl_s) >= self._ttl_s]:
            await self._redis.hdel(f"{self._prefix}standing", *gone)
        return [
            record
            for name, row in sorted(rows.items())
            if heard.get(name, _SILENT_S) < _SILENT_S
            for record in _STANDING.decode(row)
        ]

    async def groups(self) -> list[tuple[Group, int]]:
        """Every group that is watched, with its messages so far."""
        rows: Any = await self._redis.zrange(f"{self._prefix}groups", 0, -1)
        names: list[str] = [name.decode() for name in rows]
        pipeline = self._redis.pipeline(transaction=False)
        for name in names:
            pipeline.hmget(self._key("state", name), "group", "n")
        found = await pipeline.execute() if names else []
        return sorted((_GROUP.decode(group), int(count)) for group, count in found if group)

    async def forget(self, group: Group) -> None:
        """What was counted of the group: the next messages are its new baseline."""
        newest = await self.newest(group)
        blocks = [f"{self._key('block', group.id)}:{number}" for number in range(max(0, newest - _KEPT_BLOCKS), newest + 1)]
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.delete(*(self._key(part, group.id) for part in ("ids", "state", "baseline")), *blocks)
        pipeline.zrem(f"{self._prefix}groups", group.id)
        pipeline.hdel(f"{self._prefix}standing", group.id)
        await pipeline.execute()

    def _key(self, part: str, name: str) -> str:
        return f"{self._prefix}{part}:{name}"


def _short(decision: str) -> bytes:
    """Of the decision's id, so that remembering it takes half the room."""
    return hashlib.blake2b(decision.encode(), digest_size=8).digest()


def open_store(settings: Settings) -> tuple[Store, WatchStore]:
    """The client, to be closed, and the store of the watch on it."""
    redis = connect(settings.redis)
    own, prefix = settings.watch, settings.kafka.topic_prefix
    return redis, WatchStore(redis, prefix=prefix, ttl_s=own.forget_days * _DAY_S, most=own.groups)


def _read(row: Mapping[bytes, bytes]) -> tuple[int, Counts]:
    """Messages and counts of one hash."""
    counts: Counts = {}
    for field, value in row.items():
        if field != b"n":
            number, _, place = field.partition(b":")
            counts.setdefault(FEATURES[int(number)], {})[int(place)] = int(value)
    return int(row.get(b"n", 0)), counts
