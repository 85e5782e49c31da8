"""Records at rest: AES-256-GCM under a data key of their own, which is wrapped under a generation of the keyring.

Deleting a record destroys the only copy of its data key (crypto-shredding). Tenant, form and token are bound in as associated data, so that a
record cannot be moved to another token.
"""

from __future__ import annotations

import os

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agents.vault.keys import Keys
from schemas.errors import Reason, SchemaMismatch
from streams.keyring import StaleKeyring

_VERSION = b"\x02"
#: NIST SP 800-38D: 96-bit random nonces, at most 2^32 messages a key.
_NONCE = 12
_WRAPPED = 32 + 16
#: Version, generation, nonce, wrapped data key; then the nonce of the content, which is new with every content.
_REVISION_AT = len(_VERSION) + 1 + _NONCE + _WRAPPED
_HEAD = _REVISION_AT + _NONCE


def seal(value: msgspec.Struct, keys: Keys, token: str) -> bytes:
    """Version, generation, nonce, wrapped data key, nonce, ciphertext."""
    data_key, nonce = AESGCM.generate_key(256), os.urandom(_NONCE)
    content = AESGCM(data_key).encrypt(nonce, msgspec.msgpack.encode(value), _bound(keys, token))
    return _wrapped(data_key, keys, token) + nonce + content


def unseal(raw: bytes, keys: Keys, token: str) -> bytes:
    """The encoded value.

    Raises:
        SchemaMismatch: the record is of another version, was damaged or belongs elsewhere.
        StaleKeyring: its generation is not known here.
    """
    try:
        return AESGCM(_data_key(raw, keys, token)).decrypt(raw[_REVISION_AT:_HEAD], raw[_HEAD:], _bound(keys, token))
    except InvalidTag:
        raise _foreign() from None


def rewrap(raw: bytes, keys: Keys, token: str) -> bytes | None:
    """The record with its data key wrapped under the generation that is written with; ``None`` if it is already. Raises as ``unseal``."""
    if raw[:1] == _VERSION and raw[1] == keys.primary:
        return None
    return _wrapped(_data_key(raw, keys, token), keys, token) + raw[_REVISION_AT:]


def revision(raw: bytes) -> bytes:
    """Changes with every content, not with a new wrapping."""
    return raw[_REVISION_AT:_HEAD]


def _wrapped(data_key: bytes, keys: Keys, token: str) -> bytes:
    nonce = os.urandom(_NONCE)
    generation = bytes([keys.primary])
    return _VERSION + generation + nonce + keys.wrapping[keys.primary].encrypt(nonce, data_key, _bound(keys, token) + generation)


def _data_key(raw: bytes, keys: Keys, token: str) -> bytes:
    if raw[:1] != _VERSION or len(raw) < _HEAD:
        raise SchemaMismatch(Reason.SCHEMA_MISMATCH, path="vault")
    cipher = keys.wrapping.get(raw[1])
    if cipher is None:
        raise StaleKeyring(path="keyring", detail="unknown generation")
    nonce, wrapped = raw[2 : 2 + _NONCE], raw[2 + _NONCE : _REVISION_AT]
    try:
        return cipher.decrypt(nonce, wrapped, _bound(keys, token) + raw[1:2])
    except InvalidTag:
        raise _foreign() from None


def _bound(keys: Keys, token: str) -> bytes:
    return b"\x1f".join((keys.tenant.encode(), b"vault", _VERSION, token.encode()))


def _foreign() -> SchemaMismatch:
    return SchemaMismatch(Reason.SCHEMA_MISMATCH, path="vault", detail="made under another key")
