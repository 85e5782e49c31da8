"""What the gate said of a challenger: a record that is signed like a bundle's manifest, so that a promotion can ask for it."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["gold", "newest", "class", "subgroup", "leak", "speed", "shadow"]


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One figure: of ``kind``, on set or group ``name``; ``allowed`` is how far the challenger may be worse."""

    kind: Kind
    name: str
    champion: float
    challenger: float
    allowed: float
    passed: bool


class GateVerdict(msgspec.Struct, frozen=True, kw_only=True, tag="verdict.v1", tag_field="schema"):
    """``challenger`` and ``champion`` are digests of bundles (SHA-256 of ``manifest.json``); ``reasons`` against, empty when passed.

    ``evidence`` names what was looked at by SHA-256 (label files, shadow report); ``time`` is an RFC 3339 instant.
    """

    model: str
    challenger: str
    champion: str
    passed: bool
    reasons: tuple[str, ...]
    judged: tuple[Judged, ...]
    evidence: dict[str, str]
    time: str
