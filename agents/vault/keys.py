"""Keys of the vault, all derived from the one master key by HKDF (RFC 5869), apart by purpose and tenant."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from streams.clients import read_master_key

KEY_BYTES = 32
#: Name of the master key's generation; part of every index key, so that a rotation can read both.
KEY_ID = "1"
#: 128 bits of an HMAC-SHA256 are no weaker as an index than all of it.
_INDEX_BYTES = 16


class Keys:
    """``kek`` wraps the data keys of records; the index key and the message key never leave this object."""

    __slots__ = ("_index", "_message", "kek")

    def __init__(self, master: bytes, tenant: str) -> None:
        def derive(purpose: str) -> bytes:
            info = f"wardstream/vault/{purpose}/{tenant}/v1".encode()
            return HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(master)

        self._index, self._message, self.kek = derive("index"), derive("message"), derive("kek")

    def __repr__(self) -> str:
        return "<Keys>"

    @classmethod
    def load(cls, path: Path | None, tenant: str) -> Keys:
        """From the file of ``secrets.master_key_file``.

        Raises:
            ConfigurationError: no file is named, it cannot be read, or it does not hold 32 bytes in base64.
        """
        return cls(read_master_key(path), tenant)

    @classmethod
    def throwaway(cls) -> Keys:
        """Keys that end with the process, for a vault in memory."""
        return cls(secrets.token_bytes(KEY_BYTES), "memory")

    def index(self, key: str) -> str:
        """What an identifier is called in the store; never published."""
        digest = hmac.new(self._index, key.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest[:_INDEX_BYTES]).rstrip(b"=").decode()

    def message_bits(self, key: str) -> int:
        """Bits that stand for a message number: no information about an individual goes in, and nothing is stored."""
        return int.from_bytes(hmac.new(self._message, key.encode("utf-8", "surrogatepass"), hashlib.sha256).digest())
