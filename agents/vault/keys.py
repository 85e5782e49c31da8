"""Keys of the vault, derived from the installation's keyring, apart by purpose and tenant."""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from streams.keyring import Keyring

#: 128 bits of an HMAC-SHA256 are no weaker as an index than all of it.
_INDEX_BYTES = 16


class Keys:
    """``wrapping``: generation -> the cipher that wraps data keys of records; ``tenant`` is bound to every record."""

    __slots__ = ("_index", "_message", "primary", "tenant", "version", "wrapping")

    def __init__(self, ring: Keyring, tenant: str) -> None:
        self.version, self.primary, self.tenant = ring.version, ring.primary, tenant
        self.wrapping = {each: AESGCM(key) for each, key in ring.derive_each(f"vault/kek/{tenant}").items()}
        self._index = ring.derive_each(f"vault/index/{tenant}")
        self._message = ring.derive(f"vault/message/{tenant}", ring.names)

    def __repr__(self) -> str:
        return "<Keys>"

    def index(self, key: str) -> list[str]:
        """What an identifier is called in the store, in each generation, the one that is written with first; never published."""
        return [f"{generation}:{_digest(secret, key)}" for generation, secret in self._index.items()]

    def message_bits(self, key: str) -> int:
        """Bits that stand for a message number: no information about an individual goes in, and nothing is stored."""
        return int.from_bytes(hmac.new(self._message, key.encode("utf-8", "surrogatepass"), hashlib.sha256).digest())


def _digest(secret: bytes, key: str) -> str:
    digest = hmac.new(secret, key.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest[:_INDEX_BYTES]).rstrip(b"=").decode()
