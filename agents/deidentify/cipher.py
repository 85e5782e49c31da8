"""Values that the site alone can read again: AES-256-GCM under a key made from the master key (HKDF, RFC 5869), apart by tenant.

The nonce is a keyed hash of the value, so that a message replayed gives the same bytes; equal values of one tenant are therefore equal
ciphertexts, as equal tokens would be. Other than a token nothing is stored, so erasing a patient does not make such a value
unreadable: for values that a data use agreement wants back, not for numbers of patients.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.errors import ConfigurationError, Reason, UnsupportedContent
from streams.clients import read_master_key

_KEY_BYTES, _NONCE_BYTES = 32, 12
#: What a ciphertext begins with: it says what the value is, and which form.
PREFIX = "enc1."


class ValueCipher:
    """Raises ConfigurationError when the master key is not 32 bytes."""

    __slots__ = ("_gcm", "_hash", "_tenant")

    def __init__(self, master: bytes, tenant: str) -> None:
        if len(master) != _KEY_BYTES:
            raise ConfigurationError(path="secrets.master_key_file", detail="must hold 32 bytes")

        def derive(purpose: str) -> bytes:
            return HKDF(SHA256(), _KEY_BYTES, salt=None, info=f"wardstream/deid/{purpose}/{tenant}/v1".encode()).derive(master)

        self._gcm, self._hash, self._tenant = AESGCM(derive("encrypt")), derive("nonce"), tenant.encode()

    def __repr__(self) -> str:
        return "<ValueCipher>"

    @classmethod
    def load(cls, path: Path | None, tenant: str) -> ValueCipher:
        """From the file of ``secrets.master_key_file``. Raises ConfigurationError."""
        return cls(read_master_key(path), tenant)

    def encrypt(self, value: str) -> str:
        """Letters, digits, ``-``, ``_`` and ``.`` only: fits a field of HL7 and a FHIR string."""
        plain = value.encode("utf-8", "surrogatepass")
        nonce = hmac.new(self._hash, plain, hashlib.sha256).digest()[:_NONCE_BYTES]
        sealed = nonce + self._gcm.encrypt(nonce, plain, self._tenant)
        return PREFIX + base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def decrypt(self, text: str) -> str:
        """Raises UnsupportedContent (``unknown_token``) for what this key did not write."""
        body = text.removeprefix(PREFIX)
        try:
            sealed = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
            return self._gcm.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self._tenant).decode("utf-8", "surrogatepass")
        except (ValueError, InvalidTag):
            raise UnsupportedContent(Reason.UNKNOWN_TOKEN, path="value") from None
