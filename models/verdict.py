"""The gate's verdict as a file and its detached signature (``<file>.sig``)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from models.signature import KEYS, sign, verify
from schemas.errors import ConfigurationError
from schemas.verdicts import GateVerdict


def write_verdict(path: Path, verdict: GateVerdict, key: Path) -> None:
    """Write and sign. Raises ConfigurationError when ``key`` is no Ed25519 private key."""
    content = msgspec.json.format(msgspec.json.encode(verdict, order="deterministic"), indent=1) + b"\n"
    signature = sign(content, key)
    path.write_bytes(content)
    _signature(path).write_text(signature, encoding="ascii")


def read_verdict(path: Path, *, trusted_keys: Path = KEYS) -> tuple[GateVerdict, str]:
    """The verdict and its SHA-256.

    Raises:
        ConfigurationError: missing, unreadable, or not signed by a trusted key.
    """
    try:
        content = path.read_bytes()
        verify(content, _signature(path), trusted_keys)
        return msgspec.json.decode(content, type=GateVerdict), hashlib.sha256(content).hexdigest()
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigurationError(path=str(path), detail="no readable verdict with its signature") from error


def _signature(path: Path) -> Path:
    return path.with_name(path.name + ".sig")
