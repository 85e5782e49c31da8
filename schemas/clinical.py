"""What any message says clinically, whatever its format: notes, coded facts, and a report of what was read.

The same reader runs on the raw message (to find the notes to scrub) and on the de-identified one (to extract from it).
Paths: HL7 ``OBX[2]-5`` (``OBX`` counted among segments of its id, from 1; ``[r]`` after the field for repetition > 1),
FHIR ``Observation.valueQuantity`` or ``Bundle.entry[3].resource.note[0].text``.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

FactKind = Literal["lab", "vital", "problem", "medication", "allergy", "procedure", "score", "report", "other"]


class Coding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``system`` is a URI (``http://loinc.org``) or, where HL7 v2 gives only table 0396 text, that text (``LN`` is mapped).

    ``inferred`` is empty where the message or a rule's own table states the code; else the version of the vocabulary index that linked the
    text to it, with ``score``, the share of such links that are right.
    """

    system: str = ""
    code: str = ""
    display: str = ""
    inferred: str = ""
    score: float = 0.0


class NotePart(msgspec.Struct, frozen=True, kw_only=True):
    """One leaf of the message inside the note's text: ``note.text[start:end]`` came from ``path``."""

    path: str
    start: int
    end: int


class Note(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Readable text of one document or comment.

    Attributes:
        path: of the first part; identifies the note inside its message.
        text: decoded, unescaped, without markup; consecutive lines of one report joined with ``\\n``.
        format: what it was before decoding.
        codes: document or observation type.
        author: who wrote it, where the message says that it was no professional.
    """

    path: str
    text: str
    parts: tuple[NotePart, ...] = ()
    format: Literal["plain", "html", "rtf", "ccda", "pdf", "scan", "narrative"] = "plain"
    codes: tuple[Coding, ...] = ()
    status: str = ""
    author: Literal["", "patient", "relative"] = ""


class Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One coded statement of the message.

    Attributes:
        id: stable across corrections of the same result where the sender gives one (order + observation id + sub-id,
            or resource id); versions of one fact share it.
        version: orders versions of one fact: ``meta.versionId`` or the status rank and time; higher wins, whatever
            arrives first.
        time: as written in the message (raw) or as the date policy left it (de-identified).
        elapsed: minutes since the patient's own random epoch; ``None`` until de-identification attached it. Windows and
            order of events are computed from it and from nothing else.
        value: number exactly as written, or coded/text value in ``text``.
        daily: of a medication order, the most that its coded dose and timing let a patient take in a day, in ``unit``; FHIR alone.
        order: of a medication: the order that states it, equal for every statement of that order; empty where it is a supply, an
            administration or a report.
        retracted: the sender withdrew it (HL7 OBX-11 ``D``/``W``, FHIR ``entered-in-error``/``cancelled``).
        part_of: id of the report (kind ``report``) that it is a result of; HL7 v2 alone.
        details: further coded fields by the name of their FHIR element (``route``, ``site``, ``method``, ...); HL7 v2 alone.
    """

    id: str
    kind: FactKind
    path: str
    codes: tuple[Coding, ...] = ()
    text: str = ""
    value: Decimal | None = None
    comparator: Literal["", "<", "<=", ">", ">="] = ""
    unit: str = ""
    value_codes: tuple[Coding, ...] = ()
    reference_range: str = ""
    interpretation: tuple[str, ...] = ()
    status: str = ""
    time: str = ""
    elapsed: int | None = None
    version: int = 0
    order: str = ""
    daily: Decimal | None = None
    retracted: bool = False
    part_of: str = ""
    details: dict[str, tuple[Coding, ...]] = {}


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """What was done with each path (ordinals removed), by count: nothing of a message is passed over in silence."""

    used: dict[str, int] = {}
    ignored: dict[str, int] = {}
    redacted: dict[str, int] = {}
    refused: dict[str, str] = {}


class ClinicalMessage(msgspec.Struct, frozen=True, kw_only=True):
    """``kind`` is ``ORU^R01`` or a resource type; ``sex``, ``age_years`` as far as the message (still) tells."""

    format: Literal["hl7v2", "fhir"]
    kind: str
    notes: tuple[Note, ...] = ()
    facts: tuple[Fact, ...] = ()
    coverage: Coverage = Coverage()
    sex: str = ""
    birth_year: int | None = None
    encounter: str = ""
    time: str = ""
