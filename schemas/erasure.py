"""Erasure by token (``ops.erasure.requested.v1``): whoever keeps something under this token drops it; no identifier stands here."""

from __future__ import annotations

import msgspec


class Erasure(msgspec.Struct, frozen=True, kw_only=True, tag="erasure.v1", tag_field="schema"):
    id: str
    time: str
    subject: str
