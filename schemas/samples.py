"""Samples that the stream proposes for review (``train.sample.proposed.v1``): de-identified text only."""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.findings import FindingsNote, Mention, Versions

SampleReason = Literal["uncertain", "disagreement", "random"]


class Sample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="sample.v1", tag_field="schema"):
    """``score`` orders the review queue: 1 is most informative. ``mentions`` are prefilled labels, not truth."""

    id: str
    origin: str
    subject: str
    reason: SampleReason
    score: float
    note: FindingsNote
    mentions: tuple[Mention, ...] = ()
    flags: tuple[str, ...] = ()
    versions: Versions = Versions()
