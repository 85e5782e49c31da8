"""Raw payloads sealed under a key per patient: destroying the key makes every copy unreadable, retained segments and dead letters too.

Sealed: ``MAGIC``, key id (8 bytes), nonce (12), AES-256-GCM of the payload; bound to tenant, topic, content type, record key and key id. The data key lies
in Redis under the record key (``s:{tenant}:<record key>``), wrapped under a generation of the keyring (``streams.keyring``).

Only a tombstone (``s:{tenant}:x:<key id>``) says *erased*. A key that is missing without one, in a store that has its keyring, was lost with an older
state of the store or has ended its time: a state of that record, which holds up nobody else's. A store without its keyring is no store of ours, and
whoever asks it waits.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import MalformedMessage, Reason, StoreUnavailable, UnsupportedContent, WardstreamError
from streams import topics
from streams.keyring import Keyring, StaleKeyring, checked, keyring_lost, keyring_row, open_keyring
from streams.settings import Settings
from streams.store import Store, store_errors

#: No HL7 message, no JSON and no UTF-8 text begins like this.
MAGIC: Final = b"\xffWSEAL1"
ALGORITHM: Final = "a256gcm"
#: Longer than raw topics keep a record; every new message of the patient begins it anew. Backups must age out within it too.
KEY_TTL_S: Final = 35 * 86_400
#: NIST SP 800-38D: 96-bit random nonces, at most 2^32 messages a key.
_NONCE, _ID = 12, 8
_MOST_CACHED = 50_000
_ATTEMPTS = 8

#: KEYS: rows, keyring. ARGV: version, seconds to live, a new row for each row or '' where none is to be made.
#: Only making checks the keyring (as ``streams.keyring.CHECK``, but after looking): what is there can be read under any version.
_ROWS = """
local out = {}
for i = 1, #KEYS - 1 do
  local row = redis.call('GETEX', KEYS[i], 'EX', ARGV[2])
  if not row and ARGV[i + 2] ~= '' then
    local version = redis.call('HGET', KEYS[#KEYS], 'version')
    if not version then return 'lost' end
    if version ~= ARGV[1] then return 'stale' end
    row = ARGV[i + 2]
    redis.call('SET', KEYS[i], row, 'EX', ARGV[2])
  end
  out[i] = row or ''
end
return out
"""


class _DataKey(NamedTuple):
    id: bytes
    cipher: AESGCM
    until: float


def row_of(tenant: str, key: bytes) -> str:
    """Where the data key of a record key lies."""
    return f"s:{{{tenant}}}:{key.decode('ascii', 'replace')}"


def tombstone_of(tenant: str, row: bytes) -> str:
    """Where it is written that the data key in ``row`` was destroyed on purpose."""
    return _tombstone(tenant, row[1 : 1 + _ID])


def _tombstone(tenant: str, key_id: bytes) -> str:
    return f"s:{{{tenant}}}:x:{key_id.hex()}"


def is_sealed(payload: bytes) -> bool:
    return payload.startswith(MAGIC)


class Seal:
    """Seals and opens. Safe on one event loop.

    Args:
        cache_s: how long a data key is remembered; an erasure takes effect here no sooner. 0 asks each time, which the doors do, so that
            nothing is sealed under a key that was destroyed.
        reload: reads the keyring again after a rotation.
    """

    def __init__(
        self,
        store: Store,
        ring: Keyring,
        *,
        tenant: str,
        cache_s: float,
        reload: Callable[[], Awaitable[Keyring]] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._script = store.register_script(_ROWS)
        self._tenant = tenant
        self._cache_s = cache_s
        self._reload = reload
        self._monotonic = monotonic
        self._cached: dict[bytes, _DataKey] = {}
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}
        self._to_make: set[bytes] = set()
        self._asking: asyncio.Task[None] | None = None
        self._use(ring)

    def __repr__(self) -> str:
        return "<Seal>"

    async def seal(self, key: bytes, content_type: str, payload: bytes) -> bytes:
        """``payload`` sealed under the data key of ``key``, which is made when there is none.

        Raises:
            StoreUnavailable: nothing was sealed.
        """
        data_key = await self._data_key(key, make=True)
        if data_key is None:
            raise StoreUnavailable(path="payload key")
        nonce = os.urandom(_NONCE)
        sealed = data_key.cipher.encrypt(nonce, payload, self._bound(key, content_type, data_key.id))
        return MAGIC + data_key.id + nonce + sealed

    async def unseal(self, key: bytes, content_type: str, payload: bytes) -> bytes:
        """The payload; one that is not sealed comes back as it is.

        Raises:
            UnsupportedContent: ``payload_erased``, its key was destroyed; ``payload_key_lost``, it is not there although nobody destroyed it.
            MalformedMessage: damaged.
            StoreUnavailable: the key cannot be asked for now: the store does not answer, or has lost its keyring too.
        """
        if not is_sealed(payload):
            return payload
        at = len(MAGIC)
        key_id, nonce, sealed = payload[at : at + _ID], payload[at + _ID : at + _ID + _NONCE], payload[at + _ID + _NONCE :]
        data_key = await self._data_key(key, make=False)
        if data_key is None or data_key.id != key_id:
            raise await self._missing(key_id)
        try:
            return data_key.cipher.decrypt(nonce, sealed, self._bound(key, content_type, key_id))
        except InvalidTag:
            raise MalformedMessage(Reason.SCHEMA_MISMATCH, path="value", detail="the seal does not fit the record") from None

    async def _missing(self, key_id: bytes) -> WardstreamError:
        """Why there is no key of this id. Raises StoreUnavailable when the store does not answer."""
        with store_errors():
            erased, ours = await asyncio.gather(
                self._store.exists(_tombstone(self._tenant, key_id)), self._store.exists(keyring_row(self._tenant))
            )
        if erased:
            return UnsupportedContent(Reason.PAYLOAD_ERASED, path="value")
        return UnsupportedContent(Reason.PAYLOAD_KEY_LOST, path="value") if ours else keyring_lost()

    async def close(self) -> None:
        """Let go of the store."""
        await self._store.aclose()

    def _bound(self, key: bytes, content_type: str, key_id: bytes) -> bytes:
        return b"\x1f".join((self._tenant.encode(), topics.RECEIVED.encode(), content_type.encode(), key, key_id))

    async def _data_key(self, key: bytes, *, make: bool) -> _DataKey | None:
        cached = self._cached.get(key)
        if cached is not None and cached.until > self._monotonic():
            return cached
        future = self._waiting.get(key)
        if future is None:
            future = self._waiting[key] = asyncio.get_running_loop().create_future()
        if make:
            self._to_make.add(key)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        raw = await asyncio.shield(future)
        return await self._opened(key, raw) if raw else None

    async def _ask(self) -> None:
        """Everything that is waited for in one round trip: a burst takes one connection, not one for each message."""
        while self._waiting:
            waiting, self._waiting = self._waiting, {}
            wanted, self._to_make = self._to_make, set()
            try:
                answers = await self._fetched(list(waiting), wanted)
            except Exception as error:  # whatever it is, whoever waits must hear of it: nobody else would end their waiting
                for future in waiting.values():
                    future.set_exception(error)
                continue
            for future, answer in zip(waiting.values(), answers, strict=True):
                future.set_result(answer)

    async def _fetched(self, keys: Sequence[bytes], make: set[bytes]) -> list[bytes]:
        """Rows in the order of the keys, empty where there is none and none is to be made."""
        for _ in range(_ATTEMPTS):
            try:
                rows = [row_of(self._tenant, key) for key in keys]
                new = [self._new_row(key) if key in make else b"" for key in keys]
                with store_errors():
                    answer = await self._script(keys=[*rows, keyring_row(self._tenant)], args=[self._version, KEY_TTL_S, *new])
                answers: list[bytes] = checked(answer)  # type: ignore[assignment]
                return answers
            except StaleKeyring:
                await self._renew()
        raise StoreUnavailable(path="keyring", detail="keeps changing")

    def _new_row(self, key: bytes) -> bytes:
        return _wrapped(self._wrapping, self._primary, key, os.urandom(_ID), AESGCM.generate_key(256))

    async def _opened(self, key: bytes, raw: bytes) -> _DataKey:
        if raw[0] not in self._wrapping:
            await self._renew()
        found = _DataKey(raw[1 : 1 + _ID], AESGCM(_unwrapped(self._wrapping, key, raw)), self._monotonic() + self._cache_s)
        if self._cache_s > 0:
            if len(self._cached) >= _MOST_CACHED:
                self._cached.clear()
            self._cached[key] = found
        return found

    async def _renew(self) -> None:
        if self._reload is None:
            raise StoreUnavailable(path="payload key", detail="made under another keyring")
        self._use(await self._reload())

    def _use(self, ring: Keyring) -> None:
        self._version, self._primary = ring.version, ring.primary
        self._wrapping = wrapping(ring, self._tenant)


def wrapping(ring: Keyring, tenant: str) -> dict[int, AESGCM]:
    """What wraps the data keys of payloads, by generation."""
    return {generation: AESGCM(key) for generation, key in ring.derive_each(f"payload/kek/{tenant}").items()}


def rewrap(ciphers: dict[int, AESGCM], primary: int, key: bytes, raw: bytes) -> bytes | None:
    """A row with its data key wrapped under ``primary``; ``None`` if it is already. Raises StoreUnavailable, see ``Seal.unseal``."""
    if raw[0] == primary:
        return None
    return _wrapped(ciphers, primary, key, raw[1 : 1 + _ID], _unwrapped(ciphers, key, raw))


def _wrapped(ciphers: dict[int, AESGCM], primary: int, key: bytes, key_id: bytes, data_key: bytes) -> bytes:
    """A row: generation, key id, nonce, wrapped data key."""
    nonce = os.urandom(_NONCE)
    return bytes([primary]) + key_id + nonce + ciphers[primary].encrypt(nonce, data_key, key + key_id)


def _unwrapped(ciphers: dict[int, AESGCM], key: bytes, raw: bytes) -> bytes:
    key_id, rest = raw[1 : 1 + _ID], raw[1 + _ID :]
    try:
        return ciphers[raw[0]].decrypt(rest[:_NONCE], rest[_NONCE:], key + key_id)
    except (KeyError, InvalidTag):
        raise StoreUnavailable(path="payload key", detail="made under another keyring") from None


async def open_seal(settings: Settings, *, cache_s: float) -> Seal:
    """The seal of an installation, on a connection of its own.

    Raises:
        ConfigurationError: the key-encryption key cannot be used, or the store holds no keyring.
        StoreUnavailable: the store does not answer.
    """
    store, ring, reload = await open_keyring(settings)
    return Seal(store, ring, tenant=settings.deid.tenant, cache_s=cache_s, reload=reload)
