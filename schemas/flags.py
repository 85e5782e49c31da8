"""Flags and the decision record (``deid.flag.raised.v1``): support for a decision, never the decision.

The shape follows 45 CFR 170.315(b)(11) (source attributes) and FDA CDS guidance criterion 4: everything that a clinician
needs to check the basis independently stands in the flag.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final, Literal

import msgspec

from schemas.findings import Findings


class Input(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One coded fact that the rule looked at; ``elapsed`` in minutes on the patient's clock, ``ref`` the fact's id."""

    ref: str
    code: str
    display: str = ""
    value: Decimal | None = None
    unit: str = ""
    text: str = ""
    elapsed: int | None = None
    origin: str = ""


class TextSpan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Evidence in a note: ``sha256`` of the de-identified note, offsets in it, the mention behind it."""

    note: str
    sha256: str
    start: int
    end: int
    mention: str = ""
    origin: str = ""


class Clearing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A range of one input, in the sender's unit and both ends included, in which the rule does not fire, all else equal.

    One end may be open: the range then goes on to the end of what is plausible for the input. ``ref`` is the fact's id.
    """

    ref: str
    name: str
    unit: str = ""
    at_least: Decimal | None = None
    at_most: Decimal | None = None


class Basis(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``words``: what filled the summary, names of our own tables and numbers alone."""

    logic: str
    citation: str
    inputs: tuple[Input, ...] = ()
    computed: dict[str, Decimal] = {}
    thresholds: dict[str, Decimal] = {}
    missing: tuple[str, ...] = ()
    text_spans: tuple[TextSpan, ...] = ()
    clearings: tuple[Clearing, ...] = ()
    words: dict[str, str] = {}


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    version: str
    sha256: str


class Flag(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``summary`` has at most 140 characters and no identifier; ``status`` is always preliminary.

    ``supersedes`` is the id of an earlier flag that this one replaces (higher level, corrected input). ``withdrawn``: its input
    was corrected or withdrawn and the rule no longer holds; ``resolved``: a later value no longer meets the rule. Both say so and ask
    for nothing. ``episode`` is the id of the first flag in a row of such replacements, its end with it; empty: this flag is the first.
    """

    id: str
    type: str
    kind: Literal["rule", "model", "hybrid"]
    severity: Literal["info", "warning", "critical"]
    subject: str
    summary: str
    basis: Basis
    rule: Rule
    encounter: str = ""
    elapsed: int | None = None
    status: Literal["preliminary"] = "preliminary"
    score: float | None = None
    intended_use: str = ""
    limitations: str = ""
    suppress_key: str = ""
    supersedes: str = ""
    withdrawn: bool = False
    resolved: bool = False
    episode: str = ""

    @property
    def ended(self) -> bool:
        """The flag that it supersedes stands no longer, and this one asks for nothing."""
        return self.withdrawn or self.resolved


Urgency = Literal["emergency", "same-day", "routine"]
#: From the least urgent.
URGENCIES: tuple[Urgency, ...] = ("routine", "same-day", "emergency")


class Ground(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a message looks urgent or asks for something: the row of the table that holds, or the model's class with its probability."""

    source: str
    name: str
    score: float | None = None
    span: TextSpan | None = None


class Draft(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An answer for a member of staff to check, change and send; nothing of ours ever sends it.

    ``text`` holds sentences of the shipped templates alone, filled with what ``sources``, facts of the patient's record, say.
    """

    text: str
    sources: tuple[Input, ...] = ()


class Triage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a patient's own message asks and how urgent it looks. ``note``: path of its text; ``version``: of table and model."""

    note: str
    urgency: Urgency
    asks: tuple[str, ...]
    grounds: tuple[Ground, ...]
    draft: Draft
    version: str


#: Class of a classifier -> type of the flag that says the same. The recipes' other classes have no rule of their own.
FLAG_OF_CLASS: Final = {
    "suicidal-ideation": "suicide.ideation",
    "fall-risk": "fall.risk",
    "critical-imaging-finding": "radiology.critical",
    "suspected-sepsis": "sepsis.suspected",
}


class Opinion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a classifier makes of a message beside the rules; it raises nothing by itself.

    Attributes:
        label: the classifier's class; ``score`` its probability in the note (``note``, its path) that speaks most for it.
        holds: the score reaches the class's threshold.
        type: the flag that the class speaks of, empty for none.
        rule: whether that flag's rule held for this message; ``None`` where the rule could not judge it, or there is none.
    """

    label: str
    score: float
    holds: bool
    note: str
    version: str
    type: str = ""
    rule: bool | None = None

    @property
    def disagrees(self) -> bool:
        return self.rule is not None and self.rule != self.holds


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="decision.v1", tag_field="schema"):
    """Findings with the flags that they raised in the patient's context; one record per message, flags may be empty."""

    id: str
    findings: Findings
    flags: tuple[Flag, ...] = ()
    evaluated: dict[str, str] = {}
    triage: tuple[Triage, ...] = ()
    opinions: tuple[Opinion, ...] = ()
