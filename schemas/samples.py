"""Samples that the stream proposes for review (``train.sample.proposed.v1``): de-identified text only."""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.findings import FindingsNote, Mention, Versions

SampleReason = Literal["uncertain", "disagreement", "random", "rare", "new_sender", "drift", "overridden", "accepted"]


class FlagEvidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A flag's type, and where in the sample's note its evidence stands: characters ``[start, end)``, code points, sorted."""

    type: str
    spans: tuple[tuple[int, int], ...] = ()


class Sample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="sample.v1", tag_field="schema"):
    """``score`` orders the review queue: 1 is most informative. ``mentions`` are prefilled labels, not truth.

    ``why`` says more of the reason in fixed words and numbers ("0.41", "dosage without a drug"), ``selection`` the version of the
    policy that chose, ``sender`` the pseudonym of who sent the message; ``weak`` what clinicians did with the note's flags on cards, by flag id, and ``summaries`` what each flag says,
    ``evidence`` where.
    """

    id: str
    origin: str
    subject: str
    reason: SampleReason
    score: float
    note: FindingsNote
    mentions: tuple[Mention, ...] = ()
    flags: tuple[str, ...] = ()
    versions: Versions = Versions()
    why: tuple[str, ...] = ()
    selection: str = ""
    sender: str = ""
    weak: dict[str, Literal["accepted", "overridden"]] = {}
    summaries: dict[str, str] = {}
    evidence: dict[str, FlagEvidence] = {}
