"""k-anonymity of de-identified output over quasi-identifiers: the input of an expert determination (45 CFR 164.514(b)(1)).

Quasi-identifiers are age band, sex, ZIP3, year of admission and diagnosis chapter. A patient counts once, with what the messages last
said; patients with the same combination form a class, its size is k, the risk of each of them 1/k. Attackers who know a patient to be in
the data are assumed (prosecutor model), which is the cautious choice. Practice asks for k >= 11 (risk 0.09); the rule names no number.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from schemas.deidentified import DeidMap
from schemas.hl7.er7 import Message
from schemas.message import Parsed

WANTED_K = 11
_YEAR = re.compile(r"(?:19|20)\d\d")
#: ICD-10 chapters by first code (WHO ICD-10, 2019: I A00-B99 to XXII U00-U85).
_CHAPTERS = (
    ("A00", "I"), ("C00", "II"), ("D50", "III"), ("E00", "IV"), ("F00", "V"), ("G00", "VI"), ("H00", "VII"), ("H60", "VIII"),
    ("I00", "IX"), ("J00", "X"), ("K00", "XI"), ("L00", "XII"), ("M00", "XIII"), ("N00", "XIV"), ("O00", "XV"), ("P00", "XVI"),
    ("Q00", "XVII"), ("R00", "XVIII"), ("S00", "XIX"), ("U00", "XXII"), ("V00", "XX"), ("Z00", "XXI"),
)  # fmt: skip
_ICD10 = re.compile(r"[A-Z]\d[0-9A-Z](?:\.[0-9A-Z]{1,4})?")


@dataclass(frozen=True, slots=True)
class Quasi:
    """One patient; an empty text is "not said", which is a value of its own. ``age`` is a band of five years, ``90+`` the last."""

    age: str = ""
    sex: str = ""
    zip3: str = ""
    year: str = ""
    chapter: str = ""

    def updated(self, later: Quasi) -> Quasi:
        """What ``later`` says goes first."""
        return replace(self, **{name: value for name in self.__slots__ if (value := getattr(later, name))})


@dataclass(frozen=True, slots=True)
class Report:
    """``rarest``: combinations with their k, smallest first."""

    patients: int
    classes: int
    smallest_k: int
    below_wanted: float
    maximum_risk: float
    average_risk: float
    rarest: tuple[tuple[Quasi, int], ...]


def age_band(years: int | None) -> str:
    """``40-44``; ``90+`` from 90 on."""
    if years is None:
        return ""
    return "90+" if years >= 90 else f"{years // 5 * 5}-{years // 5 * 5 + 4}"


def chapter(code: str) -> str:
    """Roman number of the ICD-10 chapter, or an empty text for what is no ICD-10 code."""
    if not _ICD10.fullmatch(code):
        return ""
    found = ""
    for first, name in _CHAPTERS:
        if code[:3] >= first:
            found = name
    return found


def quasi_of(message: Parsed, sidecar: DeidMap) -> Quasi:
    """Of one de-identified message and its ``deid-map``."""
    read = _hl7(message) if isinstance(message, Message) else _fhir(message)
    return replace(read, age=age_band(sidecar.age_years))


def _hl7(message: Message) -> Quasi:
    found: dict[str, str] = {}
    for segment in message.segments:
        match segment.id:
            case "PID":
                found["sex"] = segment.get(8)
                found["zip3"] = segment.get(11, component=5)[:3]
            case "PV1":
                found["year"] = _year(segment.get(44))
            case "DG1" if not found.get("chapter"):
                found["chapter"] = chapter(segment.get(3).strip())
    return Quasi(**found)


def _fhir(root: dict[str, Any]) -> Quasi:
    resources = (
        [entry.get("resource") or {} for entry in root.get("entry") or ()] if root.get("resourceType") == "Bundle" else [root]
    )
    found: dict[str, str] = {}
    for resource in resources:
        match resource.get("resourceType"):
            case "Patient":
                found["sex"] = str(resource.get("gender") or "")[:1].upper()
                found["zip3"] = next((str(a["postalCode"])[:3] for a in resource.get("address") or () if a.get("postalCode")), "")
            case "Encounter":
                found["year"] = _year(str((resource.get("period") or {}).get("start") or ""))
            case "Condition" if not found.get("chapter"):
                codes = [str(coding.get("code") or "") for coding in (resource.get("code") or {}).get("coding") or ()]
                found["chapter"] = next(filter(None, map(chapter, codes)), "")
    return Quasi(**found)


def _year(time: str) -> str:
    match = _YEAR.match(time)
    return match[0] if match else ""


def report(patients: Iterable[Quasi], *, rarest: int = 10) -> Report:
    """One row a patient. Without patients everything is zero."""
    classes = Counter(patients)
    total = classes.total()
    if not total:
        return Report(0, 0, 0, 0.0, 0.0, 0.0, ())
    smallest = min(classes.values())
    return Report(
        patients=total,
        classes=len(classes),
        smallest_k=smallest,
        below_wanted=sum(k for k in classes.values() if k < WANTED_K) / total,
        maximum_risk=1 / smallest,
        # each patient's risk is 1/k, so that a class adds one
        average_risk=len(classes) / total,
        rarest=tuple(sorted(classes.items(), key=lambda row: (row[1], repr(row[0])))[:rarest]),
    )
