"""Keyrings for tests: one that is known, and the real one of an installation."""

from __future__ import annotations

import redis

from streams.keyring import Keyring, keyring_row, keyring_store
from streams.settings import Settings

SECRET = bytes(range(32))
RING = Keyring.of(SECRET)


def known_keyring(redis_url: str, tenant: str) -> Keyring:
    """``RING`` is the keyring of this tenant, as far as scripts of the store look."""
    client = redis.Redis.from_url(redis_url)
    client.hset(keyring_row(tenant), mapping={"version": RING.version})
    client.close()
    return RING


async def install(settings: Settings) -> None:
    """As ``wardstream keys init``."""
    keyring = keyring_store(settings)
    try:
        await keyring.create()
    finally:
        await keyring.close()
