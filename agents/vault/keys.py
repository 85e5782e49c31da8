"""Keys of the vault, derived from the installation's master key by HKDF (RFC 5869), one per tenant and purpose.

A code that is derived from the individual's data is no de-identification (45 CFR 164.514(c)): the keyed hash here is only the
vault's index and is never published; what is published is a random token.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.errors import ConfigurationError, PrivacyViolation, Reason

KEY_BYTES = 32
NONCE_BYTES = 12
#: Bytes of an index digest: 128 bits, no collision in practice.
DIGEST_BYTES = 16
FORMAT = b"\x01"
SETTING = "secrets.master_key_file"


def load_master_key(path: Path | None) -> bytes:
    """32 bytes from the base64 file. Raises ConfigurationError naming the setting."""
    if path is None:
        raise ConfigurationError(path=SETTING, detail="the vault needs the master key")
    try:
        master = base64.b64decode(path.read_bytes().strip(), validate=True)
    except (OSError, binascii.Error):
        raise ConfigurationError(path=SETTING, detail="cannot be read as base64") from None
    if len(master) != KEY_BYTES:
        raise ConfigurationError(path=SETTING, detail="must hold 32 bytes")
    return master


class Keys:
    """Index digests and envelope encryption for one tenant.

    Args:
        kid: number of the master key in force, part of every index key so that keys can be rotated.
        random_bytes: source of data keys and nonces.
    """

    def __init__(self, master: bytes, tenant: str, *, kid: int = 1, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self.tenant, self.kid = tenant, kid
        self._index = _derive(master, f"wardstream/vault/index/{tenant}")
        self._wrap = AESGCM(_derive(master, f"wardstream/vault/kek/{tenant}"))
        self._random = random_bytes

    def digest(self, *parts: str) -> str:
        """Keyed hash of an identifier: HMAC-SHA256 cut to 128 bits, hexadecimal."""
        return hmac.new(self._index, "\x1f".join(parts).encode(), hashlib.sha256).digest()[:DIGEST_BYTES].hex()

    def seal(self, token: str, plain: bytes) -> bytes:
        """Encrypt a record under a data key of its own, which lies beside it wrapped by the key-encryption key (AES-256-GCM).

        Destroying the stored bytes destroys the data key: nothing else can open the record.
        """
        data_key, bound = self._random(KEY_BYTES), self._bound(token)
        wrap_nonce, nonce = self._random(NONCE_BYTES), self._random(NONCE_BYTES)
        wrapped = self._wrap.encrypt(wrap_nonce, data_key, bound)
        return FORMAT + wrap_nonce + wrapped + nonce + AESGCM(data_key).encrypt(nonce, plain, bound)

    def open(self, token: str, sealed: bytes) -> bytes:
        """Raises PrivacyViolation when the record was altered, moved to another token, or sealed under another key."""
        wrapped_end = 1 + NONCE_BYTES + KEY_BYTES + 16
        bound = self._bound(token)
        try:
            data_key = self._wrap.decrypt(sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES : wrapped_end], bound)
            nonce = sealed[wrapped_end : wrapped_end + NONCE_BYTES]
            return AESGCM(data_key).decrypt(nonce, sealed[wrapped_end + NONCE_BYTES :], bound)
        except (InvalidTag, ValueError):
            raise PrivacyViolation(Reason.UNKNOWN_TOKEN, path="vault record", detail="does not verify") from None

    def _bound(self, token: str) -> bytes:
        return f"{self.tenant}|{token}|{self.kid}".encode()


def _derive(master: bytes, info: str) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=info.encode()).derive(master)
