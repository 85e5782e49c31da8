"""The key-encryption key in HashiCorp Vault's (or OpenBao's) transit engine, by ``hvac``: extra ``vault``.

https://developer.hashicorp.com/vault/api-docs/secret/transit. The key is of the type ``aes256-gcm96`` (the default), which takes associated data; its
ciphertext ``vault:v3:...`` names the version.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from typing import Any

import hvac
import requests
from hvac import exceptions

from schemas.errors import ConfigurationError, StoreUnavailable
from streams.clients import read_secret
from streams.settings import KeyEncryption

_DEFAULT_MOUNT = "transit"
_DOWN = (
    exceptions.VaultDown,
    exceptions.InternalServerError,
    exceptions.BadGateway,
    exceptions.RateLimitExceeded,
    exceptions.VaultNotInitialized,
    requests.RequestException,
)


class VaultTransit:
    """See ``KeyEncryption``. ``key`` is ``name`` or ``mount/name``; the token file is read at each call, so that a renewed token is known at once."""

    def __init__(self, chosen: KeyEncryption) -> None:
        if chosen.token_file is None or not chosen.key or not chosen.endpoint:
            raise ConfigurationError(path="key_encryption", detail="vault-transit needs endpoint, key and token_file")
        self._chosen = chosen
        mount, _, self._name = chosen.key.rpartition("/")
        self._mount = mount or _DEFAULT_MOUNT
        logging.getLogger("hvac").setLevel(logging.WARNING)

    def __repr__(self) -> str:
        return "<VaultTransit>"

    def wrap(self, key: bytes, bound: bytes) -> bytes:
        answer = self._ask(
            lambda transit: transit.encrypt_data(
                self._name, plaintext=_text(key), associated_data=_text(bound), mount_point=self._mount
            )
        )
        return str(answer["data"]["ciphertext"]).encode()

    def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        answer = self._ask(
            lambda transit: transit.decrypt_data(
                self._name, ciphertext=wrapped.decode(errors="replace"), associated_data=_text(bound), mount_point=self._mount
            )
        )
        return base64.b64decode(answer["data"]["plaintext"])

    def rotate(self) -> None:
        """``transit/keys/:name/rotate``; ``min_decryption_version`` decides how long old versions can be unwrapped."""
        self._ask(lambda transit: transit.rotate_key(self._name, mount_point=self._mount))

    def _ask(self, call: Callable[[Any], Any]) -> Any:
        assert self._chosen.token_file is not None
        token = read_secret(self._chosen.token_file, "key_encryption.token_file")
        verify = str(self._chosen.ca_file) if self._chosen.ca_file else True
        client = hvac.Client(
            url=self._chosen.endpoint,
            token=token,
            timeout=self._chosen.timeout_s,
            verify=verify,
            namespace=self._chosen.namespace,
        )
        try:
            return call(client.secrets.transit)
        except _DOWN:
            raise StoreUnavailable(path="key_encryption.endpoint") from None
        except (exceptions.Forbidden, exceptions.Unauthorized):
            raise ConfigurationError(path="key_encryption.token_file", detail="the token has not the right") from None
        except exceptions.VaultError:
            raise ConfigurationError(path="key_encryption.key", detail="refused: no such key, or wrapped elsewhere") from None
        finally:
            client.adapter.close()


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
