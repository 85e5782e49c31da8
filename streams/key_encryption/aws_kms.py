"""The key-encryption key in AWS KMS, by ``boto3``: extra ``aws``. Credentials and region come from where boto3 looks for them.

https://docs.aws.amazon.com/kms/latest/APIReference/. A symmetric encryption key; what the secret is bound to is its encryption context, which is logged in
CloudTrail and holds the tenant's name and a number.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import boto3
from botocore import exceptions
from botocore.config import Config

from schemas.errors import ConfigurationError, StoreUnavailable
from streams.settings import KeyEncryption

_CONTEXT = "wardstream"
#: Codes that say to come back (https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html, and those of the operations).
_LATER = frozenset(
    {"ThrottlingException", "KMSInternalException", "KeyUnavailableException", "DependencyTimeoutException", "InternalFailure",
     "ServiceUnavailable", "RequestTimeout", "LimitExceededException"}
)  # fmt: skip


class AwsKms:
    """See ``KeyEncryption``. ``key``: key id, ARN or alias."""

    def __init__(self, chosen: KeyEncryption) -> None:
        if not chosen.key:
            raise ConfigurationError(path="key_encryption.key", detail="aws-kms needs the key's ARN or alias")
        self._key = chosen.key
        for name in ("botocore", "boto3", "urllib3"):  # their debug lines quote requests
            logging.getLogger(name).setLevel(logging.WARNING)
        config = Config(
            connect_timeout=chosen.timeout_s, read_timeout=chosen.timeout_s, retries={"mode": "standard", "total_max_attempts": 2}
        )
        region = self._key.split(":")[3] if self._key.startswith("arn:") else None
        try:
            verify = str(chosen.ca_file) if chosen.ca_file else None
            self._client: Any = boto3.client(
                "kms", endpoint_url=chosen.endpoint, region_name=region, config=config, verify=verify
            )
        except (exceptions.NoRegionError, ValueError):
            raise ConfigurationError(path="key_encryption.key", detail="no region: give the key's ARN") from None

    def __repr__(self) -> str:
        return "<AwsKms>"

    def wrap(self, key: bytes, bound: bytes) -> bytes:
        answer = _ask(lambda: self._client.encrypt(KeyId=self._key, Plaintext=key, EncryptionContext=_context(bound)))
        return bytes(answer["CiphertextBlob"])

    def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        answer = _ask(lambda: self._client.decrypt(KeyId=self._key, CiphertextBlob=wrapped, EncryptionContext=_context(bound)))
        return bytes(answer["Plaintext"])

    def rotate(self) -> None:
        """New key material on demand; KMS keeps the old, and chooses by itself when unwrapping. Keys whose material was imported cannot."""
        found = _ask(lambda: self._client.describe_key(KeyId=self._key))  # an alias cannot be rotated, its key can
        _ask(lambda: self._client.rotate_key_on_demand(KeyId=found["KeyMetadata"]["KeyId"]))


def _context(bound: bytes) -> dict[str, str]:
    return {_CONTEXT: bound.decode("utf-8", "backslashreplace")}


def _ask(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except exceptions.ClientError as error:
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if error.response.get("Error", {}).get("Code") in _LATER or status >= 500:
            raise StoreUnavailable(path="key_encryption.endpoint") from None
        raise ConfigurationError(
            path="key_encryption.key", detail="refused: no such key, no right, or wrapped elsewhere"
        ) from None
    except exceptions.NoCredentialsError:
        raise ConfigurationError(path="key_encryption", detail="no AWS credentials") from None
    except (exceptions.ConnectionError, exceptions.HTTPClientError):
        raise StoreUnavailable(path="key_encryption.endpoint") from None
    except exceptions.BotoCoreError:
        raise ConfigurationError(path="key_encryption", detail="the AWS client refused the call") from None
