"""A keyring for tests that is known. The real one of an installation is made by ``ops.stack.make_keyring``."""

from __future__ import annotations

import redis

from streams.keyring import Keyring, keyring_row

SECRET = bytes(range(32))
RING = Keyring.of(SECRET)


def known_keyring(redis_url: str, tenant: str) -> Keyring:
    """``RING`` is the keyring of this tenant, as far as scripts of the store look."""
    client = redis.Redis.from_url(redis_url)
    client.hset(keyring_row(tenant), mapping={"version": RING.version})
    client.close()
    return RING
