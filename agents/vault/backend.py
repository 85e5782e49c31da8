"""Where the vault's rows lie. One primitive matters: ``claim``, which gives every key of one patient the same token at once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from schemas.errors import StoreUnavailable
from streams.store import Store, store_errors

#: Claims in one script call: Redis does nothing else meanwhile.
_CHUNK = 500

#: The first index key that is known gives the token; if none is, the candidate becomes it, unless its record exists already.
_CLAIM = """
local out, k, a = {}, 1, 2
for c = 1, tonumber(ARGV[1]) do
  local n, token, found = tonumber(ARGV[a]), ARGV[a + 1], false
  for i = k, k + n - 1 do
    found = redis.call('GET', KEYS[i])
    if found then break end
  end
  if not found then
    if redis.call('SET', KEYS[k + n], ARGV[a + 2], 'NX') then found = token else found = '' end
  end
  if found ~= '' then
    for i = k, k + n - 1 do redis.call('SET', KEYS[i], found, 'NX') end
  end
  out[c] = found
  k, a = k + n + 1, a + 3
end
return out
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """``keys`` are index keys, the first known one decides; ``record`` is stored under ``record_key`` if the token is new."""

    keys: tuple[str, ...]
    token: str
    record_key: str
    record: bytes

    def __repr__(self) -> str:
        return "<Claim>"


class Backend(Protocol):
    async def get(self, keys: Sequence[str]) -> list[bytes | None]: ...

    async def put(self, rows: dict[str, bytes], *, only_new: bool = False) -> None: ...

    async def delete(self, keys: Sequence[str]) -> int: ...

    async def add(self, rows: dict[str, set[str]]) -> None:
        """Members to sets."""

    async def members(self, key: str) -> set[str]: ...

    async def claim(self, claims: Sequence[Claim]) -> list[str]:
        """Token of each claim, in order, each claim seeing those before it; empty where the candidate token is taken."""

    async def close(self) -> None: ...


class MemoryBackend:
    """Lives and ends with the process; may be used from several threads."""

    def __init__(self) -> None:
        self._rows: dict[str, bytes] = {}
        self._sets: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        return [self._rows.get(key) for key in keys]

    async def put(self, rows: dict[str, bytes], *, only_new: bool = False) -> None:
        with self._lock:
            for key, value in rows.items():
                if not only_new or key not in self._rows:
                    self._rows[key] = value

    async def delete(self, keys: Sequence[str]) -> int:
        with self._lock:
            return sum((self._rows.pop(key, None) or self._sets.pop(key, None)) is not None for key in keys)

    async def add(self, rows: dict[str, set[str]]) -> None:
        with self._lock:
            for key, members in rows.items():
                self._sets.setdefault(key, set()).update(members)

    async def members(self, key: str) -> set[str]:
        return set(self._sets.get(key, ()))

    async def claim(self, claims: Sequence[Claim]) -> list[str]:
        with self._lock:
            return [self._claim(claim) for claim in claims]

    async def close(self) -> None:
        """Nothing to let go of."""

    def _claim(self, claim: Claim) -> str:
        found = next((self._rows[key].decode() for key in claim.keys if key in self._rows), None)
        if found is None:
            if claim.record_key in self._rows:
                return ""
            self._rows[claim.record_key] = claim.record
            found = claim.token
        for key in claim.keys:
            self._rows.setdefault(key, found.encode())
        return found


class RedisBackend:
    """On a Redis of its own with ``noeviction`` and an append-only file. A claim is one script: atomic, one round trip."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._script = store.register_script(_CLAIM)

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        if not keys:
            return []
        return cast("list[bytes | None]", await self._store.mget(list(keys)))

    async def put(self, rows: dict[str, bytes], *, only_new: bool = False) -> None:
        if not rows:
            return
        pipeline = self._store.pipeline(transaction=False)
        for key, value in rows.items():
            pipeline.set(key, value, nx=only_new)
        await pipeline.execute()

    async def delete(self, keys: Sequence[str]) -> int:
        return int(await self._store.delete(*keys)) if keys else 0

    async def add(self, rows: dict[str, set[str]]) -> None:
        if not rows:
            return
        pipeline = self._store.pipeline(transaction=False)
        for key, members in rows.items():
            pipeline.sadd(key, *members)
        await pipeline.execute()

    async def members(self, key: str) -> set[str]:
        found = cast("set[bytes]", await self._store.smembers(key))
        return {member.decode() for member in found}

    async def claim(self, claims: Sequence[Claim]) -> list[str]:
        tokens: list[str] = []
        for start in range(0, len(claims), _CHUNK):
            chunk = claims[start : start + _CHUNK]
            keys = [key for claim in chunk for key in (*claim.keys, claim.record_key)]
            rows: list[bytes | str | int] = [len(chunk)]
            for claim in chunk:
                rows += [len(claim.keys), claim.token, claim.record]
            with store_errors():
                answers = await self._script(keys=keys, args=rows)
            if len(answers) != len(chunk):
                raise StoreUnavailable(path="vault")
            tokens += [answer.decode() if isinstance(answer, bytes) else str(answer) for answer in answers]
        return tokens

    async def close(self) -> None:
        await self._store.aclose()
