"""Merges by token (``deid.patient.merged.v1``): what is kept under ``retired`` belongs to ``survivor`` from now on; no identifier stands here."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.envelope import DataClass, Envelope, parse_headers
from schemas.errors import Reason, SchemaMismatch


class Merge(msgspec.Struct, frozen=True, kw_only=True, tag="merge.v1", tag_field="schema"):
    """A time of ``n`` minutes on the clock of ``retired`` is ``n + delta_minutes`` on the clock of ``survivor`` (``DeidMap.times``)."""

    id: str
    time: str
    survivor: str
    retired: str
    delta_minutes: int


def read_merge(headers: Sequence[tuple[str, bytes]], value: bytes | None) -> tuple[Envelope, Merge]:
    """A record of the topic. Raises Poison where it is none that may be read, or merges a token with itself."""
    envelope = parse_headers(headers)
    envelope.require(DataClass.INTERNAL)
    try:
        merge = _DECODER.decode(value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise SchemaMismatch(Reason.SCHEMA_MISMATCH, path="value") from None
    if merge.survivor == merge.retired:
        raise SchemaMismatch(Reason.SCHEMA_MISMATCH, path="retired")
    return envelope, merge


_DECODER = msgspec.json.Decoder(Merge)
