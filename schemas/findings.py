"""Findings (``deid.findings.extracted.v1``): what one de-identified message says, as mentions in notes and facts of fields."""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.clinical import Coding, Coverage, Fact

MentionType = Literal[
    "problem", "finding", "medication", "dosage", "form", "route", "frequency", "duration",
    "procedure", "test", "value", "anatomy",
]  # fmt: skip
Laterality = Literal["", "left", "right", "bilateral"]
MENTION_TYPES: tuple[MentionType, ...] = MentionType.__args__  # type: ignore[attr-defined]


class Assertion(msgspec.Struct, frozen=True, kw_only=True):
    """ConText axes (Harkema 2009); all false means present, certain, current, the patient's."""

    negated: bool = False
    possible: bool = False
    historical: bool = False
    hypothetical: bool = False
    family: bool = False


class Offsets(msgspec.Struct, frozen=True):
    start: int
    end: int


class Onset(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Since when, as the note says it: ``words``, which stand at ``text[start:end]`` (white space joined).

    ``ago`` is how long before the note, in ISO 8601 ("P3D"), empty where the words leave it open; ``age`` the patient's years then.
    ``replaced``: de-identification wrote part of the words, so that they are no words of the note as received.
    """

    words: str
    start: int
    end: int
    ago: str = ""
    age: int | None = None
    replaced: bool = False


class Mention(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A span of a de-identified note. Offsets are code points, end exclusive; ``original`` is in the note as received.

    ``expansion`` is what an abbreviation stands for in this note; empty where it is none or stays ambiguous.
    ``relatives`` are those that a mention with ``assertion.family`` is about ("mother"), empty where its sentence names none.
    ``period`` is the length of a duration in ISO 8601 ("P3W"), empty where its words give no single length.
    ``laterality`` is the side of a problem, finding, procedure or anatomy; ``onset`` since when a problem or finding is there.
    """

    id: str
    note: str
    start: int
    end: int
    text: str
    type: MentionType
    score: float
    source: str
    assertion: Assertion = Assertion()
    section: str = ""
    codes: tuple[Coding, ...] = ()
    original: Offsets | None = None
    expansion: str = ""
    relatives: tuple[str, ...] = ()
    period: str = ""
    laterality: Laterality = ""
    onset: Onset | None = None


class Anchor(msgspec.Struct, frozen=True):
    """Words of a note that place an event in the stay and are no mention ("discharge"): ``text[start:end]``."""

    words: str
    start: int
    end: int


class Relation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``head`` and ``tail`` are mention ids. ``type``: medication-dosage, -form, -route, -frequency, -duration, -reason, -adverse_event;
    test-value; finding-body_site (its head is a problem or a finding); event-before, event-after, event-overlap: when the head happened, as
    seen from the tail, which is empty where ``anchor`` names a time of the stay instead.

    ``lag`` is how long between the two events, in ISO 8601 ("P2D"), empty where the words do not say."""

    id: str
    type: str
    head: str
    tail: str
    score: float
    source: str
    anchor: Anchor | None = None
    lag: str = ""


class FindingsNote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The de-identified note itself; ``sha256`` is of its UTF-8 text."""

    path: str
    text: str
    sha256: str
    codes: tuple[Coding, ...] = ()
    author: Literal["", "patient", "relative"] = ""


class Versions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    policy: str = ""
    phi_model: str = ""
    entity_model: str = ""
    assertion_rules: str = ""
    flag_rules: str = ""
    vocabulary: str = ""


class Findings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="findings.v1", tag_field="schema"):
    """One record per message, also when nothing was found.

    Attributes:
        id: deterministic; ``origin`` the raw message's id.
        subject, encounter: tokens.
        elapsed: the message's own time in minutes on the patient's clock.
        time: instant of receipt (RFC 3339), carried from the envelope.
        sender, department: pseudonyms of who sent the message and of where the patient was then; empty where it does not say.
    """

    id: str
    origin: str
    subject: str
    format: Literal["hl7v2", "fhir"]
    kind: str
    time: str
    encounter: str = ""
    sender: str = ""
    department: str = ""
    elapsed: int | None = None
    age_years: int | None = None
    sex: str = ""
    notes: tuple[FindingsNote, ...] = ()
    mentions: tuple[Mention, ...] = ()
    relations: tuple[Relation, ...] = ()
    facts: tuple[Fact, ...] = ()
    coverage: Coverage = Coverage()
    versions: Versions = Versions()
