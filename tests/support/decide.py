"""Findings written by hand for the tests of decide, publish and feedback."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Any

from schemas.clinical import Coding, Fact
from schemas.findings import Assertion, Findings, FindingsNote, Mention, MentionType, Offsets, Relation, Versions
from schemas.ids import derived_id, source_id

LOINC = "http://loinc.org"
ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
HOUR = 60
DAY = 24 * HOUR
TOKEN = "W0123456789ABCD"


def lab(name: str, code: str, value: str | None, unit: str, at: int | None, *, version: int = 1, **rest: Any) -> Fact:
    """A laboratory fact; ``at`` in minutes on the patient's clock."""
    return Fact(
        id=name,
        kind=rest.pop("kind", "lab"),
        path=rest.pop("path", "OBX[1]"),
        codes=(Coding(system=LOINC, code=code, display=rest.pop("display", "")),),
        value=None if value is None else Decimal(value),
        unit=unit,
        elapsed=at,
        version=version,
        **rest,
    )


def creatinine(name: str, mg_dl: str, at: int, **rest: Any) -> Fact:
    return lab(name, "2160-0", mg_dl, "mg/dL", at, display="Creatinine", **rest)


def coded(kind: Any, name: str, text: str, *codes: tuple[str, str], at: int | None = 0, **rest: Any) -> Fact:
    codings = tuple(Coding(system=system, code=code, display=text) for system, code in codes)
    return Fact(id=name, kind=kind, path="X[1]", codes=codings, text=text, elapsed=at, **rest)


def findings(number: int, at: int | None, *facts: Fact, **rest: Any) -> Findings:
    """The ``number``-th message of the patient at minute ``at``."""
    origin = source_id("test", str(number))
    return Findings(
        id=derived_id(origin, "extract"),
        origin=origin,
        subject=rest.pop("subject", TOKEN),
        format=rest.pop("format", "hl7v2"),
        kind=rest.pop("kind", "ORU^R01"),
        time=rest.pop("time", "2026-03-02T10:15:00.000Z"),
        elapsed=at,
        age_years=rest.pop("age_years", 61),
        facts=facts,
        versions=rest.pop(
            "versions", Versions(policy="safe_harbor-1", entity_model="wardstream-entities/1", assertion_rules="assertion-1")
        ),
        **rest,
    )


def note(
    text: str, *rows: tuple[str, MentionType, Assertion | None], section: str = "", path: str = "OBX[1]-5"
) -> dict[str, Any]:
    """``notes`` and ``mentions`` of a message whose note is ``text``; each row is (words, type, assertion)."""
    mentions = []
    for words, kind, assertion in rows:
        start = text.index(words)
        end = start + len(words)
        mentions.append(
            Mention(
                id=derived_id(path + text, "extract", ordinal=f"{start}:{end}"),
                note=path,
                start=start,
                end=end,
                text=words,
                type=kind,
                score=0.93,
                source="wardstream-entities/1",
                assertion=assertion or Assertion(),
                section=section,
                original=Offsets(start + 3, end + 3),
            )
        )
    document = FindingsNote(path=path, text=text, sha256=hashlib.sha256(text.encode()).hexdigest())
    return {"notes": (document,), "mentions": tuple(mentions)}


def tied(kind: str, head: Mention, tail: Mention) -> Relation:
    return Relation(id=f"{head.id}>{tail.id}", type=kind, head=head.id, tail=tail.id, score=1.0, source="rules/1")
