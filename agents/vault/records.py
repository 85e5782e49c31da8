"""Records at rest: AES-256-GCM under a data key of their own, which is wrapped by the key-encryption key.

Deleting a record destroys the only copy of its data key (crypto-shredding); the token is bound in as associated data, so that a
record cannot be moved to another token.
"""

from __future__ import annotations

import os

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import Reason, SchemaMismatch

_VERSION = b"\x01"
#: NIST SP 800-38D: 96-bit random nonces, at most 2^32 messages a key.
_NONCE = 12
_WRAPPED = 32 + 16
_HEAD = len(_VERSION) + _NONCE + _WRAPPED + _NONCE


def seal(value: msgspec.Struct, kek: bytes, token: str) -> bytes:
    """Version, nonce, wrapped data key, nonce, ciphertext."""
    bound = token.encode()
    data_key = AESGCM.generate_key(256)
    outer, inner = os.urandom(_NONCE), os.urandom(_NONCE)
    wrapped = AESGCM(kek).encrypt(outer, data_key, bound)
    return _VERSION + outer + wrapped + inner + AESGCM(data_key).encrypt(inner, msgspec.msgpack.encode(value), bound)


def unseal(raw: bytes, kek: bytes, token: str) -> bytes:
    """The encoded value. Raises SchemaMismatch when the record is of another version or was made under another key."""
    if raw[:1] != _VERSION or len(raw) < _HEAD:
        raise SchemaMismatch(Reason.SCHEMA_MISMATCH, path="vault")
    bound = token.encode()
    outer, rest = raw[1 : 1 + _NONCE], raw[1 + _NONCE :]
    wrapped, inner, sealed = rest[:_WRAPPED], rest[_WRAPPED : _WRAPPED + _NONCE], rest[_WRAPPED + _NONCE :]
    try:
        return AESGCM(AESGCM(kek).decrypt(outer, wrapped, bound)).decrypt(inner, sealed, bound)
    except InvalidTag:
        raise SchemaMismatch(Reason.SCHEMA_MISMATCH, path="vault", detail="made under another key") from None
