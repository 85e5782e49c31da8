"""Raw payloads sealed under a key per patient: destroying the key makes every copy unreadable, retained segments and dead letters too.

Sealed: ``MAGIC``, key id (8 bytes), nonce (12), AES-256-GCM of the payload; bound to tenant, topic, content type, record key and key id. The data key lies
in Redis under the record key (``s:{tenant}:<record key>``), wrapped by a key-encryption key that is derived from the master key by HKDF (RFC 5869).

Only a tombstone (``s:{tenant}:x:<key id>``) says *erased*. A key that is missing without one was lost with its store, and processing stops.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.errors import MalformedMessage, Reason, StoreUnavailable, UnsupportedContent
from streams import topics
from streams.clients import read_master_key
from streams.settings import Settings
from streams.store import Store, connect

#: No HL7 message, no JSON and no UTF-8 text begins like this.
MAGIC: Final = b"\xffWSEAL1"
ALGORITHM: Final = "a256gcm"
#: Longer than raw topics keep a record; every new message of the patient begins it anew. Backups must age out within it too.
KEY_TTL_S: Final = 35 * 86_400
#: NIST SP 800-38D: 96-bit random nonces, at most 2^32 messages a key.
_NONCE, _ID, _KEY_BYTES = 12, 8, 32
_MOST_CACHED = 50_000


class _DataKey(NamedTuple):
    id: bytes
    cipher: AESGCM
    until: float


def row_of(tenant: str, key: bytes) -> str:
    """Where the data key of a record key lies."""
    return f"s:{{{tenant}}}:{key.decode('ascii', 'replace')}"


def tombstone_of(tenant: str, row: bytes) -> str:
    """Where it is written that the data key in ``row`` was destroyed on purpose."""
    return f"s:{{{tenant}}}:x:{row[:_ID].hex()}"


def is_sealed(payload: bytes) -> bool:
    return payload.startswith(MAGIC)


class Seal:
    """Seals and opens. Safe on one event loop.

    Args:
        cache_s: how long a data key is remembered; an erasure takes effect here no sooner. 0 asks each time, which the doors do, so that
            nothing is sealed under a key that was destroyed.
    """

    def __init__(
        self, store: Store, master: bytes, *, tenant: str, cache_s: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        info = f"wardstream/payload/kek/{tenant}/v1".encode()
        self._kek = AESGCM(HKDF(SHA256(), _KEY_BYTES, salt=None, info=info).derive(master))
        self._store = store
        self._tenant = tenant
        self._cache_s = cache_s
        self._monotonic = monotonic
        self._cached: dict[bytes, _DataKey] = {}
        self._waiting: dict[bytes, asyncio.Future[bytes | None]] = {}
        self._to_make: set[bytes] = set()
        self._asking: asyncio.Task[None] | None = None

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
            UnsupportedContent: ``payload_erased``, its key was destroyed.
            MalformedMessage: damaged, or moved from another record.
            StoreUnavailable: the key cannot be asked for now, or is not there although nobody destroyed it: the store has lost it.
        """
        if not is_sealed(payload):
            return payload
        at = len(MAGIC)
        key_id, nonce, sealed = payload[at : at + _ID], payload[at + _ID : at + _ID + _NONCE], payload[at + _ID + _NONCE :]
        data_key = await self._data_key(key, make=False)
        if data_key is None or data_key.id != key_id:
            if await self._store.exists(tombstone_of(self._tenant, key_id)):
                raise UnsupportedContent(Reason.PAYLOAD_ERASED, path="value")
            raise StoreUnavailable(path="payload key", detail="lost: restore the store from its backup")
        try:
            return data_key.cipher.decrypt(nonce, sealed, self._bound(key, content_type, key_id))
        except InvalidTag:
            raise MalformedMessage(Reason.SCHEMA_MISMATCH, path="value", detail="the seal does not fit the record") from None

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
        return None if raw is None else self._opened(key, raw)

    async def _ask(self) -> None:
        """Everything that is waited for in one round trip after another: a burst takes one connection, not one for each message."""
        while self._waiting:
            waiting, self._waiting = self._waiting, {}
            wanted, self._to_make = self._to_make, set()
            try:
                answers = await self._fetched(list(waiting), wanted)
            except Exception as error:  # whatever it is, whoever waits must hear of it: nobody else would end their waiting
                for future in waiting.values():
                    future.set_exception(error)
                continue
            for key, future in waiting.items():
                future.set_result(answers.get(key))

    async def _fetched(self, keys: Sequence[bytes], make: set[bytes]) -> dict[bytes, bytes]:
        found = await self._rows(keys)
        missing = [key for key in keys if key in make and key not in found]
        if missing:
            pipeline = self._store.pipeline(transaction=False)
            for key in missing:
                pipeline.set(row_of(self._tenant, key), self._new_row(key), nx=True, ex=KEY_TTL_S)
            await pipeline.execute()
            found |= await self._rows(missing)  # another process may have been first
        return found

    async def _rows(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        pipeline = self._store.pipeline(transaction=False)
        for key in keys:
            pipeline.getex(row_of(self._tenant, key), ex=KEY_TTL_S)
        rows: list[bytes | None] = await pipeline.execute()
        return {key: raw for key, raw in zip(keys, rows, strict=True) if raw is not None}

    def _new_row(self, key: bytes) -> bytes:
        key_id, nonce = os.urandom(_ID), os.urandom(_NONCE)
        return key_id + nonce + self._kek.encrypt(nonce, AESGCM.generate_key(256), key + key_id)

    def _opened(self, key: bytes, raw: bytes) -> _DataKey:
        key_id, nonce, wrapped = raw[:_ID], raw[_ID : _ID + _NONCE], raw[_ID + _NONCE :]
        try:
            plain = self._kek.decrypt(nonce, wrapped, key + key_id)
        except InvalidTag:
            raise StoreUnavailable(path="payload key", detail="made under another master key") from None
        found = _DataKey(key_id, AESGCM(plain), self._monotonic() + self._cache_s)
        if self._cache_s > 0:
            if len(self._cached) >= _MOST_CACHED:
                self._cached.clear()
            self._cached[key] = found
        return found


def open_seal(settings: Settings, *, cache_s: float) -> Seal:
    """The seal of an installation, on a connection of its own; connects on first use.

    Raises:
        ConfigurationError: the master key is missing or unreadable.
    """
    master = read_master_key(settings.secrets.master_key_file)
    return Seal(connect(settings.redis), master, tenant=settings.deid.tenant, cache_s=cache_s)
