"""The key-encryption key: it wraps the secrets of an installation's keyring (``streams.keyring``) and never leaves its keeper.

One module a keeper: a file for development and small sites, or a key management service, whose client library is an extra of this package
(``wardstream[vault]``, ``[aws]``, ``[gcp]``, ``[azure]``). A keeper is asked when a process starts and when keys are rotated, never for a message.
"""

from __future__ import annotations

from typing import Final, Protocol

from schemas.errors import ConfigurationError
from streams.settings import Settings

#: Provider -> the extra of this package with its client library.
EXTRAS: Final = {"vault-transit": "vault", "aws-kms": "aws", "gcp-kms": "gcp", "azure-keyvault": "azure"}


class KeyEncryption(Protocol):
    """Synchronous: callers on an event loop use a thread.

    Every method raises ConfigurationError where the keeper refuses (no such key, no right, the file cannot be read) and StoreUnavailable
    where it does not answer. Neither error holds what the keeper said.
    """

    def wrap(self, key: bytes, bound: bytes) -> bytes:
        """``key`` (32 bytes) under the newest version; ``bound`` is authenticated with it and not secret. The answer says its version."""

    def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        """The key, whichever version it was wrapped under. Raises ConfigurationError when it was damaged, wrapped elsewhere, or bound to something else."""

    def rotate(self) -> None:
        """Make a new version: ``wrap`` uses it from now on, what older versions wrapped can still be unwrapped."""


def open_key_encryption(settings: Settings) -> KeyEncryption:
    """The keeper that ``key_encryption.provider`` names; only its module is imported.

    Raises:
        ConfigurationError: the extra is not installed, or a setting that this keeper needs is missing.
    """
    chosen = settings.key_encryption
    try:
        match chosen.provider:
            case "file":
                from streams.key_encryption.file import MasterKeyFile

                return MasterKeyFile(settings.secrets.master_key_file)
            case "vault-transit":
                from streams.key_encryption.vault_transit import VaultTransit

                return VaultTransit(chosen)
            case "aws-kms":
                from streams.key_encryption.aws_kms import AwsKms

                return AwsKms(chosen)
            case "gcp-kms":
                from streams.key_encryption.gcp_kms import GcpKms

                return GcpKms(chosen)
            case "azure-keyvault":
                from streams.key_encryption.azure_keyvault import AzureKeyVault

                return AzureKeyVault(chosen)
    except ImportError:
        extra = EXTRAS[chosen.provider]
        raise ConfigurationError(path="key_encryption.provider", detail=f"install the extra: wardstream[{extra}]") from None
