"""Datatypes read leniently: what a sender got wrong reads as empty, never as an error."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from schemas.clinical import Coding
from schemas.loinc import ANSWER_SCORES, LOINC

Object = dict[str, Any]
Comparator = Literal["", "<", "<=", ">", ">="]

UCUM = "http://unitsofmeasure.org"

_COMPARATORS: dict[str, Comparator] = {"<": "<", "<=": "<=", ">": ">", ">=": ">="}
_WORD = re.compile(r"[^\W\d_]{2,}")
#: A string of so many words is worth reading as text.
_PHRASE = 4


@dataclass(frozen=True, slots=True)
class Value:
    """``text`` is what people read where ``number`` does not say it all; ``element`` the JSON name it stood under."""

    element: str = ""
    number: Decimal | None = None
    comparator: Comparator = ""
    unit: str = ""
    text: str = ""
    codes: tuple[Coding, ...] = ()


def objects(value: Any) -> list[Object]:
    """The objects of an array, or the one object; what is none is left out."""
    return [item for item in (value if isinstance(value, list) else (value,)) if isinstance(item, dict)]


def first_object(value: Any) -> Object:
    return next(iter(objects(value)), {})


def string(holder: Object, key: str) -> str:
    found = holder.get(key)
    return found if isinstance(found, str) else ""


def number(value: Any) -> Decimal | None:
    if isinstance(value, Decimal):
        return value
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else None


def codings(concepts: Any) -> tuple[Coding, ...]:
    """Codings of a CodeableConcept or of each of an array."""
    return tuple(coding for concept in objects(concepts) for coding in map(one_coding, objects(concept.get("coding"))) if coding)


def one_coding(value: Object) -> Coding | None:
    coding = Coding(system=string(value, "system"), code=string(value, "code"), display=string(value, "display"))
    return coding if coding.code or coding.display else None


def concept_text(concept: Any) -> str:
    """What people read: the text, else the first display, else the first code."""
    value = first_object(concept)
    found = codings(value)
    return string(value, "text") or next((c.display for c in found if c.display), "") or (found[0].code if found else "")


def code_of(concept: Any) -> str:
    """The first code of a CodeableConcept."""
    return next((coding.code for coding in codings(concept) if coding.code), "")


def quantity(value: Object) -> tuple[Decimal | None, Comparator, str]:
    """Number, comparator and unit; the UCUM code where there is one, else the unit as people write it."""
    code, unit = string(value, "code"), string(value, "unit")
    chosen = code if code and value.get("system", UCUM) == UCUM else unit or code
    return number(value.get("value")), _COMPARATORS.get(string(value, "comparator"), ""), chosen


def reference_range(ranges: Any) -> str:
    """The first range as ``low-high unit``, ``<high`` or its text."""
    value = first_object(ranges)
    if text := string(value, "text"):
        return text
    low, _, low_unit = quantity(first_object(value.get("low")))
    high, _, unit = quantity(first_object(value.get("high")))
    unit = f" {unit or low_unit}" if unit or low_unit else ""
    if low is not None and high is not None:
        return f"{low}-{high}{unit}"
    if high is not None:
        return f"<={high}{unit}"
    return f">={low}{unit}" if low is not None else ""


def is_prose(text: str) -> bool:
    """Whether a string is worth reading as a note: four words or more, or lines."""
    return "\n" in text.strip() or len(_WORD.findall(text)) >= _PHRASE


def read_value(holder: Object, *, concept: Any = None) -> Value:
    """``value[x]`` of an Observation, component or answer; empty where there is none or where it is running text.

    Args:
        concept: what was asked, so that a coded answer of the PHQ-9 list is read as its score too.
    """
    for name, found in holder.items():
        if not name.startswith("value"):
            continue
        kind = name[5:]
        if kind in {"Quantity", "SimpleQuantity", "Age", "Duration", "Count", "Money"} and isinstance(found, dict):
            amount, comparator, unit = quantity(found)
            return Value(
                name, amount, comparator, unit, text=f"{comparator}{amount}" if comparator and amount is not None else ""
            )
        if kind in {"Integer", "Decimal", "PositiveInt", "UnsignedInt"}:
            return Value(name, number(found))
        if kind == "CodeableConcept" and isinstance(found, dict):
            codes = codings(found)
            return Value(name, _score(codes, concept), text=concept_text(found), codes=codes)
        if kind == "Coding" and isinstance(found, dict):
            coded = one_coding(found)
            codes = (coded,) if coded else ()
            return Value(name, _score(codes, concept), text=(coded.display or coded.code) if coded else "", codes=codes)
        if kind == "Boolean" and isinstance(found, bool):
            return Value(name, text="true" if found else "false")
        if kind == "Range" and isinstance(found, dict):
            return Value(name, text=reference_range(found))
        if kind == "Ratio" and isinstance(found, dict):
            upper, lower = (quantity(first_object(found.get(part))) for part in ("numerator", "denominator"))
            return Value(name, text=f"{upper[0]}:{lower[0]}" if upper[0] is not None and lower[0] is not None else "")
        if kind in {"String", "Markdown", "Code"} and isinstance(found, str):
            return Value(name, text="" if is_prose(found) else found.strip())
    return Value()


def _score(codes: tuple[Coding, ...], concept: Any) -> Decimal | None:
    if not any(coding.system == LOINC for coding in codings(concept)):
        return None
    return next((Decimal(ANSWER_SCORES[coding.code]) for coding in codes if coding.code in ANSWER_SCORES), None)
