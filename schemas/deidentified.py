"""What de-identification says about its own work: redactions, and the map that travels beside the clean message.

The map (header ``deid-map``) holds offsets, types and minutes on the patient's own clock; no text and no calendar date.
"""

from __future__ import annotations

import msgspec

from schemas.errors import Reason, SchemaMismatch


class Redaction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One replaced span of a note, in offsets of the original text.

    ``method`` is what was done (tag, year, zip3, token, redact); ``layer`` who found it (known, pattern, model), ``rule``
    the recognizer or model version.
    """

    start: int
    end: int
    type: str
    method: str
    replacement: str
    layer: str = ""
    rule: str = ""
    score: float = 1.0


class SpanMap(msgspec.Struct, frozen=True, array_like=True):
    """``original[start:end]`` stands as ``clean[clean_start:clean_end]``; text between spans is unchanged."""

    start: int
    end: int
    clean_start: int
    clean_end: int
    type: str


class DeidMap(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Sidecar of one de-identified message.

    Attributes:
        notes: note path in the *clean* message -> spans in text order.
        times: path of a date/time in the clean message -> minutes since the patient's random epoch.
        received: minutes since the patient's epoch at which the message itself says it was made.
        age_years: age at the message's time, at most 89 (90 stands for older); ``None`` unknown.
        without_patient: the message names nobody; its subject is a token of the message itself, and nobody can be released.
        sender, department: keyed hashes of who sent the message and of the service or ward; empty where it does not say.
    """

    notes: dict[str, tuple[SpanMap, ...]] = {}
    times: dict[str, int] = {}
    received: int | None = None
    age_years: int | None = None
    without_patient: bool = False
    sender: str = ""
    department: str = ""

    def encode(self) -> bytes:
        return msgspec.json.encode(self)


def decode_map(raw: bytes | None) -> DeidMap:
    """Raises SchemaMismatch when the header is not a map of this version; an absent header is an empty map."""
    if raw is None:
        return DeidMap()
    try:
        return msgspec.json.decode(raw, type=DeidMap)
    except msgspec.MsgspecError:
        raise SchemaMismatch(Reason.SCHEMA_MISMATCH, path="deid-map") from None


def to_original(spans: tuple[SpanMap, ...], start: int, end: int) -> tuple[int, int]:
    """Map clean-text offsets back to the original text; an offset inside a replacement widens to the whole span."""
    return _back(spans, start, left=True), _back(spans, end, left=False)


def _back(spans: tuple[SpanMap, ...], offset: int, *, left: bool) -> int:
    delta = 0
    for span in spans:
        if offset < span.clean_start or (offset == span.clean_start and not left):
            break
        if offset < span.clean_end or (offset == span.clean_end and not left):
            return span.start if left else span.end
        delta = span.end - span.clean_end
    return offset + delta
