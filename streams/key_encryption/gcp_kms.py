"""The key-encryption key in Google Cloud KMS, by ``google-cloud-kms``: extra ``gcp``. Credentials are Google's application default ones.

https://cloud.google.com/kms/docs/reference/rest. A key of the purpose ENCRYPT_DECRYPT; checksums in both directions, as
https://cloud.google.com/kms/docs/data-integrity-guidelines asks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import google_crc32c
from google.api_core import exceptions, retry
from google.auth.exceptions import GoogleAuthError
from google.cloud import kms_v1

from schemas.errors import ConfigurationError, StoreUnavailable
from streams.settings import KeyEncryption

A = TypeVar("A")
_LATER = (
    exceptions.ServerError,
    exceptions.TooManyRequests,
    exceptions.RetryError,
    exceptions.DeadlineExceeded,
    exceptions.Cancelled,
)
_POLL_S = 0.2


class GcpKms:
    """See ``KeyEncryption``. ``key``: ``projects/P/locations/L/keyRings/R/cryptoKeys/K``. ``client`` None: Google's own, from its defaults."""

    def __init__(self, chosen: KeyEncryption, client: kms_v1.KeyManagementServiceClient | None = None) -> None:
        if not chosen.key.startswith("projects/"):
            raise ConfigurationError(path="key_encryption.key", detail="gcp-kms needs projects/.../cryptoKeys/...")
        self._key, self._timeout_s = chosen.key, chosen.timeout_s
        self._retry = retry.Retry(
            predicate=retry.if_exception_type(exceptions.ServiceUnavailable, exceptions.TooManyRequests),
            initial=0.1,
            timeout=chosen.timeout_s,
        )
        try:
            options = {"api_endpoint": chosen.endpoint} if chosen.endpoint else None
            self._client = client or kms_v1.KeyManagementServiceClient(client_options=options)
        except GoogleAuthError:
            raise ConfigurationError(path="key_encryption", detail="no Google credentials") from None

    def __repr__(self) -> str:
        return "<GcpKms>"

    def wrap(self, key: bytes, bound: bytes) -> bytes:
        request = self._request(plaintext=key, additional_authenticated_data=bound)
        answer = self._ask(self._client.encrypt, request=request)
        whole = answer.verified_plaintext_crc32c and answer.verified_additional_authenticated_data_crc32c
        if not whole or answer.ciphertext_crc32c != google_crc32c.value(answer.ciphertext):
            raise StoreUnavailable(path="key_encryption.endpoint", detail="the answer was damaged on its way")
        return bytes(answer.ciphertext)

    def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        request = self._request(ciphertext=wrapped, additional_authenticated_data=bound)
        answer = self._ask(self._client.decrypt, request=request)
        if answer.plaintext_crc32c != google_crc32c.value(answer.plaintext):
            raise StoreUnavailable(path="key_encryption.endpoint", detail="the answer was damaged on its way")
        return bytes(answer.plaintext)

    def rotate(self) -> None:
        """A new version, made the primary one when it is enabled; old versions unwrap until somebody disables them.

        Raises StoreUnavailable also when the version is not enabled within the time-out; repeat then."""
        version = self._ask(
            self._client.create_crypto_key_version, parent=self._key, crypto_key_version=kms_v1.CryptoKeyVersion()
        )
        enabled = kms_v1.CryptoKeyVersion.CryptoKeyVersionState.ENABLED
        deadline = time.monotonic() + self._timeout_s
        while version.state != enabled:
            if time.monotonic() > deadline:
                raise StoreUnavailable(path="key_encryption.key", detail="the new version is not enabled yet")
            time.sleep(_POLL_S)
            version = self._ask(self._client.get_crypto_key_version, name=version.name)
        number = version.name.rpartition("/")[2]
        self._ask(self._client.update_crypto_key_primary_version, name=self._key, crypto_key_version_id=number)

    def _request(self, **parts: bytes) -> dict[str, Any]:
        return {"name": self._key, **parts, **{f"{name}_crc32c": google_crc32c.value(part) for name, part in parts.items()}}

    def _ask(self, call: Callable[..., A], **arguments: Any) -> A:
        try:
            return call(**arguments, retry=self._retry, timeout=self._timeout_s)
        except _LATER:
            raise StoreUnavailable(path="key_encryption.endpoint") from None
        except exceptions.GoogleAPICallError:
            raise ConfigurationError(
                path="key_encryption.key", detail="refused: no such key, no right, or wrapped elsewhere"
            ) from None
        except GoogleAuthError:
            raise ConfigurationError(path="key_encryption", detail="no Google credentials") from None
