"""The key-encryption key in Azure Key Vault or Managed HSM, by ``azure-keyvault-keys``: extra ``azure``.

https://learn.microsoft.com/azure/key-vault/keys/. An RSA key (RSA-OAEP-256), whose private half never leaves the vault. RSA takes no associated data, so the
SHA-256 of what the secret is bound to is wrapped with it. What is wrapped says its key version, which a rotation leaves in place.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import CryptographyClient, KeyWrapAlgorithm

from schemas.errors import ConfigurationError, StoreUnavailable
from streams.settings import KeyEncryption

A = TypeVar("A")
_END = b"\0"
_DIGEST_BYTES = 32


class AzureKeyVault:
    """See ``KeyEncryption``. ``key``: ``https://VAULT.vault.azure.net/keys/NAME``.

    Args:
        credential: ``None`` takes Azure's default chain (managed identity, environment, ...).
        options: for the clients' transport.
    """

    def __init__(self, chosen: KeyEncryption, credential: Any = None, **options: Any) -> None:
        self._vault, separator, self._name = chosen.key.rstrip("/").partition("/keys/")
        if not separator or not self._vault.startswith("https://") or "/" in self._name:
            raise ConfigurationError(path="key_encryption.key", detail="azure-keyvault needs https://.../keys/NAME")
        if credential is None:
            from azure.identity import DefaultAzureCredential

            credential = DefaultAzureCredential()
        logging.getLogger("azure").setLevel(logging.WARNING)
        self._credential = credential
        self._options = {
            "connection_timeout": chosen.timeout_s,
            "read_timeout": chosen.timeout_s,
            "retry_total": 1,
            "retry_backoff_max": chosen.timeout_s,
            **({"connection_verify": str(chosen.ca_file)} if chosen.ca_file else {}),
            **options,
        }
        self._keys = KeyClient(self._vault, credential, **self._options)

    def __repr__(self) -> str:
        return "<AzureKeyVault>"

    def wrap(self, key: bytes, bound: bytes) -> bytes:
        newest = _ask(lambda: self._keys.get_key(self._name))
        client = CryptographyClient(newest, self._credential, **self._options)
        answer = _ask(lambda: client.wrap_key(KeyWrapAlgorithm.rsa_oaep_256, _digest(bound) + key))
        return str(newest.properties.version).encode() + _END + answer.encrypted_key

    def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        version, _, sealed = wrapped.partition(_END)
        if not version.isalnum():
            raise _refused()
        name = f"{self._vault}/keys/{self._name}/{version.decode()}"
        client = CryptographyClient(name, self._credential, **self._options)
        opened = _ask(lambda: client.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, sealed)).key
        if not hmac.compare_digest(opened[:_DIGEST_BYTES], _digest(bound)):
            raise _refused()
        return bytes(opened[_DIGEST_BYTES:])

    def rotate(self) -> None:
        """A new version by the key's rotation policy, or a copy of its newest one where it has none."""
        _ask(lambda: self._keys.rotate_key(self._name))


def _digest(bound: bytes) -> bytes:
    return hashlib.sha256(bound).digest()


def _refused() -> ConfigurationError:
    return ConfigurationError(path="key_encryption.key", detail="refused: no such key, no right, or wrapped elsewhere")


def _ask(call: Callable[[], A]) -> A:
    try:
        return call()
    except ClientAuthenticationError:
        raise ConfigurationError(path="key_encryption", detail="Azure refused the credential") from None
    except HttpResponseError as error:
        if error.status_code in (408, 429) or (error.status_code or 0) >= 500:
            raise StoreUnavailable(path="key_encryption.endpoint") from None
        raise _refused() from None
    except (ServiceRequestError, ServiceResponseError):
        raise StoreUnavailable(path="key_encryption.endpoint") from None
    except (AzureError, ValueError):
        raise _refused() from None
