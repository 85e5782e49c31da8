"""Values that the site alone can read again: AES-256-GCM under a key made from the master key (HKDF, RFC 5869), apart by tenant.

The nonce is a keyed hash of the value, so that a message replayed gives the same bytes; equal values of one tenant are therefore equal
ciphertexts, as equal tokens would be. Other than a token nothing is stored, so erasing a patient does not make such a value
unreadable: for values that a data use agreement wants back, not for numbers of patients.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import Reason, UnsupportedContent
from streams.keyring import Keyring

_NONCE_BYTES = 12
#: What a ciphertext begins with: it says what the value is, and which form.
PREFIX = "enc1."


class ValueCipher:
    """Under the generation of the keyring that names are derived from: what was encrypted lies elsewhere, where no rotation reaches it."""

    __slots__ = ("_gcm", "_hash", "_tenant")

    def __init__(self, ring: Keyring, tenant: str) -> None:
        gcm, self._hash = (ring.derive(f"deid/{purpose}/{tenant}", ring.names) for purpose in ("encrypt", "nonce"))
        self._gcm, self._tenant = AESGCM(gcm), tenant.encode()

    def __repr__(self) -> str:
        return "<ValueCipher>"

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
