"""Where the vault's rows lie. Every write that depends on what was read is one script, which checks the keyring's version first."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

from agents.vault.records import revision
from streams.keyring import CHECK, checked, keyring_row
from streams.store import Store, store_errors

#: Claims in one script call: Redis does nothing else meanwhile.
_CHUNK = 500

#: The first index key that is known gives the token; if none is, the candidate becomes it, unless its record exists already.
_CLAIM = (
    CHECK
    + """
local out, k, a = {}, 1, 3
for c = 1, tonumber(ARGV[2]) do
  local new, old, found = tonumber(ARGV[a]), tonumber(ARGV[a + 1]), false
  local record = k + new + old
  for i = k, record - 1 do
    found = redis.call('GET', KEYS[i])
    if found then break end
  end
  if not found then
    if redis.call('SET', KEYS[record], ARGV[a + 3], 'NX') then
      found = ARGV[a + 2]
      for i = k, k + new - 1 do redis.call('SET', KEYS[i], found) end
    else
      found = ''
    end
  end
  out[c] = found
  k, a = record + 1, a + 4
end
return out
"""
)
#: Nothing is written unless every expected record is still at its revision (``revision`` of ``agents.vault.records``: 12 bytes at 62).
_COMMIT = (
    CHECK
    + """
local expected, put, links, relinked, gone = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local k, a = 0, 6
for i = 1, expected do
  if redis.call('GETRANGE', KEYS[k + i], 62, 73) ~= ARGV[a + i] then return 0 end
end
k, a = k + expected, a + expected
for i = 1, put do redis.call('SET', KEYS[k + i], ARGV[a + i]) end
k, a = k + put, a + put
for i = 1, links do redis.call('SET', KEYS[k + i], ARGV[a + i], 'NX') end
k, a = k + links, a + links
for i = 1, relinked do
  if redis.call('GET', KEYS[k + i]) == ARGV[a + 1] then redis.call('SET', KEYS[k + i], ARGV[a + 2]) end
end
k = k + relinked
for i = 1, gone do redis.call('DEL', KEYS[k + i]) end
return 1
"""
)
#: Index rows that lead to one of these tokens; what leads elsewhere by now is somebody else's.
_UNLINK = """
local gone = 0
for i = 1, #KEYS do
  local token = redis.call('GET', KEYS[i])
  for a = 1, #ARGV do
    if token == ARGV[a] then gone = gone + redis.call('DEL', KEYS[i]) end
  end
end
return gone
"""


@dataclass(frozen=True, slots=True, repr=False)
class Claim:
    """``keys`` are index rows, the first known one decides; ``older`` are those of older generations, which are read and not written.
    ``record`` is stored under ``record_key`` if the token is new."""

    keys: tuple[str, ...]
    token: str
    record_key: str
    record: bytes
    older: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Commit:
    """One change, made whole or not at all.

    Attributes:
        expected: records and the revision that they must still have.
        put: rows and what they become.
        links: index rows and their token, where there is none yet.
        relinked: index rows that lead to the first token of ``tokens`` and shall lead to the second.
        gone: rows to delete.
    """

    expected: Mapping[str, bytes] = field(default_factory=dict)
    put: Mapping[str, bytes] = field(default_factory=dict)
    links: Mapping[str, bytes] = field(default_factory=dict)
    relinked: Sequence[str] = ()
    tokens: tuple[str, str] = ("", "")
    gone: Sequence[str] = ()


class Backend(Protocol):
    """``version`` is the keyring's: StaleKeyring is raised when it has changed, StoreUnavailable when the store has lost it."""

    async def get(self, keys: Sequence[str]) -> list[bytes | None]: ...

    async def put(self, rows: Mapping[str, bytes]) -> None: ...

    async def delete(self, keys: Sequence[str]) -> int: ...

    async def add(self, rows: Mapping[str, set[str]]) -> None:
        """Members to sets."""

    async def members(self, key: str) -> set[str]: ...

    async def has_keyring(self) -> bool:
        """Whether the store still is the one that the vault was made in: an emptied one has none."""

    async def claim(self, claims: Sequence[Claim], version: int) -> list[str]:
        """Token of each claim, in order, each claim seeing those before it; empty where the candidate token is taken."""

    async def commit(self, change: Commit, version: int) -> bool:
        """Whether the change was made; ``False``: somebody else changed one of the expected records."""

    async def unlink(self, keys: Sequence[str], tokens: Sequence[str]) -> int:
        """Delete those index rows that lead to one of the tokens."""

    async def close(self) -> None: ...


class MemoryBackend:
    """Lives and ends with the process, its keyring with it; may be used from several threads."""

    def __init__(self) -> None:
        self._rows: dict[str, bytes] = {}
        self._sets: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        return [self._rows.get(key) for key in keys]

    async def put(self, rows: Mapping[str, bytes]) -> None:
        with self._lock:
            self._rows.update(rows)

    async def delete(self, keys: Sequence[str]) -> int:
        with self._lock:
            return sum((self._rows.pop(key, None) or self._sets.pop(key, None)) is not None for key in keys)

    async def add(self, rows: Mapping[str, set[str]]) -> None:
        with self._lock:
            for key, members in rows.items():
                self._sets.setdefault(key, set()).update(members)

    async def members(self, key: str) -> set[str]:
        return set(self._sets.get(key, ()))

    async def has_keyring(self) -> bool:
        return True

    async def claim(self, claims: Sequence[Claim], version: int) -> list[str]:
        with self._lock:
            return [self._claim(claim) for claim in claims]

    async def commit(self, change: Commit, version: int) -> bool:
        with self._lock:
            if any(revision(self._rows.get(key, b"")) != known for key, known in change.expected.items()):
                return False
            self._rows.update(change.put)
            for key, token in change.links.items():
                self._rows.setdefault(key, token)
            old, new = (token.encode() for token in change.tokens)
            self._rows.update({key: new for key in change.relinked if self._rows.get(key) == old})
            for key in change.gone:
                self._rows.pop(key, None)
            return True

    async def unlink(self, keys: Sequence[str], tokens: Sequence[str]) -> int:
        with self._lock:
            leading = {token.encode() for token in tokens}
            return sum(self._rows.pop(key, b"") != b"" for key in keys if self._rows.get(key) in leading)

    async def close(self) -> None:
        """Nothing to let go of."""

    def _claim(self, claim: Claim) -> str:
        found = next((self._rows[key].decode() for key in (*claim.keys, *claim.older) if key in self._rows), None)
        if found is not None:
            return found
        if claim.record_key in self._rows:
            return ""
        self._rows[claim.record_key] = claim.record
        self._rows.update(dict.fromkeys(claim.keys, claim.token.encode()))
        return claim.token


class RedisBackend:
    """On a Redis of its own with ``noeviction`` and an append-only file."""

    def __init__(self, store: Store, tenant: str) -> None:
        self._store = store
        self._keyring = keyring_row(tenant)
        self._claim = store.register_script(_CLAIM)
        self._commit = store.register_script(_COMMIT)
        self._unlink = store.register_script(_UNLINK)

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        if not keys:
            return []
        return cast("list[bytes | None]", await self._store.mget(list(keys)))

    async def put(self, rows: Mapping[str, bytes]) -> None:
        if not rows:
            return
        pipeline = self._store.pipeline(transaction=False)
        for key, value in rows.items():
            pipeline.set(key, value)
        await pipeline.execute()

    async def delete(self, keys: Sequence[str]) -> int:
        return int(await self._store.delete(*keys)) if keys else 0

    async def add(self, rows: Mapping[str, set[str]]) -> None:
        if not rows:
            return
        pipeline = self._store.pipeline(transaction=False)
        for key, members in rows.items():
            pipeline.sadd(key, *members)
        await pipeline.execute()

    async def members(self, key: str) -> set[str]:
        found = cast("set[bytes]", await self._store.smembers(key))
        return {member.decode() for member in found}

    async def has_keyring(self) -> bool:
        return bool(await self._store.exists(self._keyring))

    async def claim(self, claims: Sequence[Claim], version: int) -> list[str]:
        tokens: list[str] = []
        for start in range(0, len(claims), _CHUNK):
            chunk = claims[start : start + _CHUNK]
            keys = [key for claim in chunk for key in (*claim.keys, *claim.older, claim.record_key)]
            rows: list[bytes | str | int] = [version, len(chunk)]
            for claim in chunk:
                rows += [len(claim.keys), len(claim.older), claim.token, claim.record]
            with store_errors():
                answers = cast("list[bytes]", checked(await self._claim(keys=[*keys, self._keyring], args=rows)))
            tokens += [answer.decode() for answer in answers]
        return tokens

    async def commit(self, change: Commit, version: int) -> bool:
        keys = [*change.expected, *change.put, *change.links, *change.relinked, *change.gone, self._keyring]
        sizes = [len(rows) for rows in (change.expected, change.put, change.links, change.relinked, change.gone)]
        values = [*change.expected.values(), *change.put.values(), *change.links.values()]
        with store_errors():
            return checked(await self._commit(keys=keys, args=[version, *sizes, *values, *change.tokens])) == 1

    async def unlink(self, keys: Sequence[str], tokens: Sequence[str]) -> int:
        if not keys:
            return 0
        with store_errors():
            return int(await self._unlink(keys=list(keys), args=list(tokens)))

    async def close(self) -> None:
        await self._store.aclose()
