"""What reviewers decided (``train.label.reviewed.v1``): labels of de-identified notes, for training and for the gate."""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.findings import Assertion, FindingsNote, MentionType
from schemas.samples import FlagEvidence

FlagVerdict = Literal["right", "wrong", "unsure"]
#: Before the pseudonym of one who settled a disagreement.
ADJUDICATED = "adjudicated:"


class ReviewedSpan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Characters ``[start, end)`` of the note, code points, and the type that the reviewer gave; ``assertion`` None was not judged."""

    start: int
    end: int
    type: MentionType
    assertion: Assertion | None = None


class Edits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a reviewer did to the spans that were prefilled, counted: ``retyped`` kept its place, ``deleted`` and ``added`` did not."""

    prefilled: int
    kept: int = 0
    retyped: int = 0
    deleted: int = 0
    added: int = 0


class ReviewedLabel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="label.v1", tag_field="schema"):
    """One reviewer's verdict on one sample. ``spans`` are complete for ``annotated``: outside of them nothing is of these types.

    ``reviewer`` is a pseudonym, ``guideline`` the version of the annotation guideline, ``decided`` an ISO 8601 instant. A label of
    ``adjudicated:<pseudonym>`` settles what reviewers disagreed on, and stands in place of theirs. ``edits``: None where nobody counted. ``evidence``: what the
    judged flags are about, as the sample had it.
    """

    id: str
    sample: str
    subject: str
    note: FindingsNote
    reviewer: str
    guideline: str
    decided: str
    annotated: tuple[MentionType, ...]
    spans: tuple[ReviewedSpan, ...] = ()
    flags: dict[str, FlagVerdict] = {}
    evidence: dict[str, FlagEvidence] = {}
    edits: Edits | None = None
