"""Merges by token (``deid.patient.merged.v1``): what is kept under ``retired`` belongs to ``survivor`` from now on; no identifier stands here."""

from __future__ import annotations

import msgspec


class Merge(msgspec.Struct, frozen=True, kw_only=True, tag="merge.v1", tag_field="schema"):
    """A time of ``n`` minutes on the clock of ``retired`` is ``n + delta_minutes`` on the clock of ``survivor`` (``DeidMap.times``)."""

    id: str
    time: str
    survivor: str
    retired: str
    delta_minutes: int
