"""Deterministic identifiers: same input, same versions, same ids, so that a replay overwrites instead of multiplying."""

from __future__ import annotations

import hashlib
import uuid

#: Namespace of every UUIDv5 (RFC 9562) made here; changing it would make every replay look new.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:wardstream:v1")

_SEPARATOR = "\x1f"


def source_id(*parts: str) -> str:
    """Id of an incoming message from what its sender calls it and the digest of its bytes."""
    return str(uuid.uuid5(NAMESPACE, _SEPARATOR.join(("source", *parts))))


def derived_id(source: str, stage: str, *, policy: str = "", model: str = "", ordinal: str | int = 0) -> str:
    """Id of the ``ordinal``-th thing that ``stage`` makes of the message ``source`` under these versions."""
    return str(uuid.uuid5(NAMESPACE, _SEPARATOR.join((source, stage, policy, model, str(ordinal)))))


def draw(*parts: str) -> float:
    """A number in [0, 1) that is the same whenever the same parts are drawn for."""
    return int.from_bytes(hashlib.sha256(_SEPARATOR.join(parts).encode()).digest()[:8]) / 2**64
