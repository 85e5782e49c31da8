"""The key-encryption key as a file: ``secrets.master_key_file``, one key a line (32 bytes, base64), the newest last."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.errors import ConfigurationError

MASTER_KEY_BYTES = 32
_SETTING = "secrets.master_key_file"
_INFO = b"wardstream/keyring/kek/v1"
#: Which line wrapped a key is found by the beginning of the SHA-256 of what was derived from it.
_ID_BYTES = 4
#: NIST SP 800-38D: 96-bit random nonces.
_NONCE_BYTES = 12


def master_key() -> str:
    """A new line of the file: 32 random bytes, base64."""
    return base64.b64encode(os.urandom(MASTER_KEY_BYTES)).decode()


class MasterKeyFile:
    """See ``KeyEncryption``. The file is read at each call, so that a line that was added is known at once."""

    def __init__(self, path: Path | None) -> None:
        if path is None:
            raise ConfigurationError(path=_SETTING, detail="the master key is needed: wardstream keys create")
        self._path = path

    def wrap(self, key: bytes, bound: bytes) -> bytes:
        *_, (name, cipher) = self._keys().items()
        nonce = os.urandom(_NONCE_BYTES)
        return name + nonce + cipher.encrypt(nonce, key, bound)

    def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        name, nonce, sealed = wrapped[:_ID_BYTES], wrapped[_ID_BYTES:][:_NONCE_BYTES], wrapped[_ID_BYTES + _NONCE_BYTES :]
        cipher = self._keys().get(name)
        try:
            if cipher is not None:
                return cipher.decrypt(nonce, sealed, bound)
        except (InvalidTag, ValueError):
            pass
        raise ConfigurationError(path=_SETTING, detail="the keyring was wrapped under another master key")

    def rotate(self) -> None:
        """Add a line. Whoever has a copy of the file needs the new one before the keyring is wrapped anew."""
        beside = self._path.with_name(self._path.name + ".new")
        try:
            lines = [*self._lines(), master_key()]
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w") as stream:
                stream.write("\n".join(lines) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(self._path)
        except OSError:
            raise ConfigurationError(path=_SETTING, detail="the file cannot be written") from None

    def _lines(self) -> list[str]:
        try:
            return self._path.read_text("ascii").split()
        except (OSError, UnicodeDecodeError):
            raise ConfigurationError(path=_SETTING, detail="the file cannot be read") from None

    def _keys(self) -> dict[bytes, AESGCM]:
        found: dict[bytes, AESGCM] = {}
        for line in self._lines():
            try:
                master = base64.b64decode(line, validate=True)
            except binascii.Error:
                raise ConfigurationError(path=_SETTING, detail="cannot be read as base64") from None
            if len(master) != MASTER_KEY_BYTES:
                raise ConfigurationError(path=_SETTING, detail="must hold 32 bytes")
            key = HKDF(SHA256(), MASTER_KEY_BYTES, salt=None, info=_INFO).derive(master)
            found[hashlib.sha256(key).digest()[:_ID_BYTES]] = AESGCM(key)
        if not found:
            raise ConfigurationError(path=_SETTING, detail="the file is empty")
        return found
