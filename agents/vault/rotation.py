"""Everything that was written under older generations of the keyring, written under the newest one, while messages flow.

Safe beside workers, because each step is conditional on what it read (``Commit.expected``) and on the keyring's version: who changed a record
meanwhile wins, and the record comes again in the next pass. Tokens and patients' clocks do not change.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import cast

import msgspec

from agents.vault.backend import Commit, RedisBackend
from agents.vault.contract import SEPARATOR, PatientRecord
from agents.vault.keys import Keys
from agents.vault.records import revision, rewrap, unseal
from agents.vault.vault import Number
from schemas.errors import SchemaMismatch
from streams.keyring import CHECK, Keyring, KeyringStore, checked, keyring_row
from streams.sealing import rewrap as rewrap_payload_key
from streams.sealing import wrapping
from streams.store import Store

_AT_ONCE = 500
#: Workers that write as fast as they can still leave a pass with nothing to do after a few.
_PASSES = 20

#: A row that is still what was read becomes what it shall be, and lives as long as it would have.
_SWAP = (
    CHECK
    + """
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'KEEPTTL')
return 1
"""
)


@dataclass(slots=True)
class Pass:
    """What one pass over all rows found. ``unreadable`` rows belong to another keyring or are damaged; they keep old generations alive."""

    seen: int = 0
    renewed: int = 0
    changed_meanwhile: int = 0
    unreadable: int = 0
    generations: dict[int, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        return self.renewed == self.changed_meanwhile == 0

    def count(self, generation: int) -> None:
        self.seen += 1
        self.generations[generation] = self.generations.get(generation, 0) + 1


async def rotate(keyring: KeyringStore, tenant: str, told: Callable[[Pass], None] = lambda _: None) -> Keyring:
    """A new generation, everything under it, and the older ones gone where nothing needs them any more.

    May be interrupted and repeated. The generation that names are derived from stays.

    Args:
        told: called after each pass.
    Raises:
        StaleKeyring: somebody else rotates at the same time.
    """
    ring = await keyring.load()
    ring = await keyring.replace(ring, ring.with_generation())
    return await finish(keyring, tenant, ring, told)


async def finish(keyring: KeyringStore, tenant: str, ring: Keyring, told: Callable[[Pass], None] = lambda _: None) -> Keyring:
    """The second half of ``rotate``, for one that was interrupted."""
    for _ in range(_PASSES):
        done = await renew(keyring.store, ring, tenant)
        told(done)
        if done.clean:
            break
    unused = set(ring.generations) - done.generations.keys() if done.clean and not done.unreadable else set()
    kept = ring.without(unused)
    return ring if kept == ring else await keyring.replace(ring, kept)


async def renew(store: Store, ring: Keyring, tenant: str) -> Pass:
    """One pass over the vault's records with their index rows, and over the keys of sealed payloads."""
    done = Pass()
    await _records(store, ring, tenant, done)
    await _payload_keys(store, ring, tenant, done)
    for generation in ring.generations:  # index rows that no record knows of
        async for names in _scan(store, f"v:{{{_literal(tenant)}}}:i:{generation}:*"):
            done.generations[generation] = done.generations.get(generation, 0) + len(names)
    return done


async def _records(store: Store, ring: Keyring, tenant: str, done: Pass) -> None:
    keys, backend = Keys(ring, tenant), RedisBackend(store, tenant)
    prefix = f"v:{{{tenant}}}"
    async for names in _scan(store, f"v:{{{_literal(tenant)}}}:r:*"):
        for name, raw in zip(names, await backend.get(names), strict=True):
            if raw is None:
                continue
            token = name.rpartition(":")[2]
            try:
                content, renewed = unseal(raw, keys, token), rewrap(raw, keys, token)
            except SchemaMismatch:
                done.unreadable += 1
                continue
            rows = [[f"{prefix}:i:{row}" for row in keys.index(key)] for key in _links(content)]
            older = [(row[0], old) for row in rows for old in row[1:]]
            found = await backend.get([old for _, old in older])
            moved = {new: value for (new, _), value in zip(older, found, strict=True) if value is not None}
            done.count(raw[1])
            if renewed is None and not moved:
                continue
            gone = [old for (_, old), value in zip(older, found, strict=True) if value is not None]
            put = {} if renewed is None else {name: renewed}
            if await backend.commit(Commit({name: revision(raw)}, put, moved, gone=gone), ring.version):
                done.renewed += 1
            else:
                done.changed_meanwhile += 1


def _links(content: bytes) -> tuple[str, ...]:
    try:
        return msgspec.msgpack.decode(content, type=PatientRecord).links
    except msgspec.ValidationError:
        number = msgspec.msgpack.decode(content, type=Number)
        return (f"{number.kind}{SEPARATOR}{number.value}",)


async def _payload_keys(store: Store, ring: Keyring, tenant: str, done: Pass) -> None:
    ciphers, swap = wrapping(ring, tenant), store.register_script(_SWAP)
    prefix = f"s:{{{tenant}}}:"
    async for names in _scan(store, f"s:{{{_literal(tenant)}}}:*"):
        kept = [name for name in names if not name.startswith(f"{prefix}x:")]  # tombstones hold no key
        for name, raw in zip(kept, cast("list[bytes | None]", await store.mget(kept)) if kept else [], strict=True):
            if raw is None:
                continue
            if raw[0] not in ciphers:
                done.unreadable += 1
                continue
            done.count(int(raw[0]))
            new = rewrap_payload_key(ciphers, ring.primary, name.removeprefix(prefix).encode(), raw)
            if new is not None:
                answer = checked(await swap(keys=[name, keyring_row(tenant)], args=[ring.version, raw, new]))
                done.renewed += answer == 1
                done.changed_meanwhile += answer != 1


async def _scan(store: Store, pattern: str) -> AsyncIterator[list[str]]:
    names: list[str] = []
    async for name in store.scan_iter(match=pattern, count=_AT_ONCE):
        names.append(name.decode())
        if len(names) >= _AT_ONCE:
            yield names
            names = []
    if names:
        yield names


def _literal(tenant: str) -> str:
    """A tenant's name within a pattern of SCAN."""
    return "".join(f"\\{char}" if char in "*?[]^\\" else char for char in tenant)
