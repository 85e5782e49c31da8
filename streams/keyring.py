"""The keyring: the secrets of an installation in numbered generations, each wrapped by the key-encryption key, kept in the store beside what they protect.

One hash ``v:{tenant}:keyring``: ``version`` (rises with every change), ``primary`` (the generation that is written with), ``names`` (the one that
names are derived from: record keys and message numbers, which are out in the log and must not change), ``g:<generation>`` (wrapped secret).

It is also how an emptied store is recognised: every script that writes under a generation checks the version in the same step. Without the
keyring nothing is written (``lost``), and after a rotation nobody writes under an old generation (``stale``) without having read it again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, cast

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.errors import ConfigurationError, StoreUnavailable
from streams.key_encryption import KeyEncryption, open_key_encryption
from streams.settings import Settings
from streams.store import Store, connect

SECRET_BYTES: Final = 32
#: A generation is one byte in every row that was written under it.
_MOST_GENERATIONS: Final = 255
_FIRST: Final = 1

#: Begins a script whose last key is the keyring and whose first argument the version that the caller knows.
CHECK: Final = """
local version = redis.call('HGET', KEYS[#KEYS], 'version')
if not version then return 'lost' end
if version ~= ARGV[1] then return 'stale' end
"""
#: Writes the whole hash if it is still at the version that it was changed from (``''``: there is none yet).
_WRITE = """
local version = redis.call('HGET', KEYS[1], 'version') or ''
if version ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
"""


class StaleKeyring(StoreUnavailable):
    """The keyring was changed: read it again and repeat."""


def keyring_lost() -> StoreUnavailable:
    return StoreUnavailable(path="keyring", detail="lost: restore the store from its backup")


def keyring_row(tenant: str) -> str:
    return f"v:{{{tenant}}}:keyring"


def checked(answer: object) -> object:
    """What a script that begins with ``CHECK`` answered.

    Raises:
        StaleKeyring, StoreUnavailable: the script wrote nothing.
    """
    if answer == b"stale":
        raise StaleKeyring(path="keyring")
    if answer == b"lost":
        raise keyring_lost()
    return answer


@dataclass(frozen=True, slots=True)
class Keyring:
    """Secrets by generation. Prints blind."""

    version: int
    primary: int
    names: int
    secrets: Mapping[int, bytes]

    def __repr__(self) -> str:
        return f"<Keyring version {self.version}>"

    @classmethod
    def of(cls, secret: bytes) -> Keyring:
        """One generation that nobody keeps: for a vault in memory, and tests."""
        return cls(1, _FIRST, _FIRST, {_FIRST: secret})

    @property
    def generations(self) -> tuple[int, ...]:
        """The one that is written with, then the others, newest first."""
        return (self.primary, *sorted(self.secrets.keys() - {self.primary}, reverse=True))

    def derive(self, purpose: str, generation: int) -> bytes:
        """32 bytes for one purpose (HKDF, RFC 5869). Raises StaleKeyring for a generation that is not known here (yet)."""
        secret = self.secrets.get(generation)
        if secret is None:
            raise StaleKeyring(path="keyring", detail="unknown generation")
        return HKDF(SHA256(), SECRET_BYTES, salt=None, info=f"wardstream/{purpose}".encode()).derive(secret)

    def derive_each(self, purpose: str) -> dict[int, bytes]:
        """``derive`` for every generation, the one that is written with first."""
        return {generation: self.derive(purpose, generation) for generation in self.generations}

    def with_generation(self) -> Keyring:
        """One more generation, which is written with from now on. Raises ConfigurationError after the 255th."""
        new = max(self.secrets) + 1
        if new > _MOST_GENERATIONS:
            raise ConfigurationError(path="keyring", detail="no generation is left")
        return replace(self, primary=new, secrets={**self.secrets, new: os.urandom(SECRET_BYTES)})

    def without(self, generations: set[int]) -> Keyring:
        """Generations that nothing was written under any more are gone for good; ``names`` keeps its own."""
        return replace(
            self,
            secrets={key: value for key, value in self.secrets.items() if key not in generations - {self.primary, self.names}},
        )


class KeyringStore:
    """The keyring of one tenant in Redis. ``keeper`` wraps and unwraps; it is asked in a thread."""

    def __init__(self, store: Store, keeper: KeyEncryption, tenant: str) -> None:
        self.store = store
        self._keeper = keeper
        self._row = keyring_row(tenant)
        self._tenant = tenant

    async def load(self) -> Keyring:
        """Raises ConfigurationError when there is none, or the keeper refuses; StoreUnavailable."""
        raw = cast("dict[bytes, bytes]", await self.store.hgetall(self._row))
        if not raw:
            raise ConfigurationError(
                path="keyring", detail="the store holds none: wardstream keys init, or its backup if there was one"
            )
        wrapped = {int(name[2:]): value for name, value in raw.items() if name.startswith(b"g:")}
        secrets = await asyncio.to_thread(
            lambda: {key: self._keeper.unwrap(value, self._bound(key)) for key, value in wrapped.items()}
        )
        return Keyring(int(raw[b"version"]), int(raw[b"primary"]), int(raw[b"names"]), secrets)

    async def reload(self) -> Keyring:
        """``load`` while records are being worked on: whatever is wrong, they wait. Raises StoreUnavailable."""
        try:
            return await self.load()
        except ConfigurationError:
            raise keyring_lost() from None

    async def create(self) -> Keyring:
        """The first generation. Raises ConfigurationError when there is a keyring already, or rows that another one made."""
        async for _ in self.store.scan_iter(match=f"{self._row.removesuffix('keyring')}[ir]:*", count=1000):
            raise ConfigurationError(path="keyring", detail="lost: the store holds a vault without it; restore its backup")
        ring = Keyring.of(os.urandom(SECRET_BYTES))
        if not await self._write(ring, ""):
            raise ConfigurationError(path="keyring", detail="there is one already")
        return ring

    async def replace(self, old: Keyring, new: Keyring) -> Keyring:
        """``new`` in place of ``old``, every secret wrapped under the keeper's newest version. Raises StaleKeyring when ``old`` is old."""
        new = replace(new, version=old.version + 1)
        if not await self._write(new, str(old.version)):
            raise StaleKeyring(path="keyring")
        return new

    async def rotate_keeper(self) -> None:
        """A new version of the key-encryption key; ``replace`` wraps under it. Raises ConfigurationError, StoreUnavailable."""
        await asyncio.to_thread(self._keeper.rotate)

    async def close(self) -> None:
        await self.store.aclose()

    async def _write(self, ring: Keyring, expected: str) -> bool:
        wrapped = await asyncio.to_thread(
            lambda: {key: self._keeper.wrap(value, self._bound(key)) for key, value in ring.secrets.items()}
        )
        fields: list[bytes | str | int] = ["version", ring.version, "primary", ring.primary, "names", ring.names]
        for generation, value in wrapped.items():
            fields += [f"g:{generation}", value]
        return bool(await self.store.eval(_WRITE, 1, self._row, expected, *fields))

    def _bound(self, generation: int) -> bytes:
        return f"wardstream/keyring/{self._tenant}/{generation}".encode()


class Opened(NamedTuple):
    """``store`` is the caller's own connection, to be closed by it."""

    store: Store
    ring: Keyring
    reload: Callable[[], Awaitable[Keyring]]


def keyring_store(settings: Settings) -> KeyringStore:
    """On a connection of its own; connects on first use. Raises ConfigurationError when the keeper is not set up."""
    keeper = open_key_encryption(settings)
    return KeyringStore(connect(settings.redis), keeper, settings.deid.tenant)


async def open_keyring(settings: Settings) -> Opened:
    """The keyring of an installation and a connection to what it protects.

    Raises:
        ConfigurationError: the key-encryption key cannot be used, or the store holds no keyring.
        StoreUnavailable: the store does not answer.
    """
    keyring = keyring_store(settings)
    try:
        return Opened(keyring.store, await keyring.load(), keyring.reload)
    except BaseException:
        await keyring.close()
        raise


async def read_keyring(settings: Settings) -> Keyring:
    """``open_keyring`` for whoever needs nothing else of the store."""
    opened = await open_keyring(settings)
    await opened.store.aclose()
    return opened.ring
