"""OBX-5 as a value: number with comparator, code, or short text; running text and identities are none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from schemas.clinical import Coding
from schemas.hl7.codes import codings, display
from schemas.hl7.er7 import Segment

Comparator = Literal["", "<", "<=", ">", ">="]

_NUMBER = re.compile(r"(<=|>=|=<|=>|≤|≥|<|>|=)?\s*([+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30}))", re.ASCII)
_COMPARATORS: dict[str, Comparator] = {
    "": "", "=": "", "<": "<", ">": ">", "<=": "<=", ">=": ">=", "=<": "<=", "=>": ">=", "≤": "<=", "≥": ">=",
}  # fmt: skip
_CODED = frozenset({"CE", "CWE", "CNE", "CF", "IS", "ID", "CD"})
_TIMES = frozenset({"DT", "TM", "TS", "DTM"})
_PLAIN = frozenset({"NM", "ST", "TX", "FT", "", "SI", "NA"}) | _TIMES

_WORD = re.compile(r"[^\W\d_]{2,}")
#: A phrase of so many words is worth reading as text.
_PHRASE = 4
#: No value is longer; what is, is text and not looked at twice.
_LONGEST_VALUE = 500


@dataclass(frozen=True, slots=True)
class Value:
    """``text`` is the value as written where ``number`` does not say it all."""

    number: Decimal | None = None
    comparator: Comparator = ""
    text: str = ""
    codes: tuple[Coding, ...] = ()

    def __bool__(self) -> bool:
        return self.number is not None or bool(self.text or self.codes)


def words(text: str) -> int:
    """Number of words of two letters and more."""
    return len(_WORD.findall(text))


def is_prose(text: str) -> bool:
    """Whether a value is worth reading as text: four words or more, or lines."""
    return "\n" in text.strip() or words(text) >= _PHRASE


def read_number(text: str) -> Decimal | None:
    """The number exactly as written, without its comparator; ``None`` when the text is more or less than one number."""
    match = _NUMBER.fullmatch(text.strip())
    return Decimal(match[2]) if match else None


def read_value(segment: Segment, kind: str) -> Value | None:
    """OBX-5 under the type of OBX-2; ``None`` for prose, persons, addresses and binary data."""
    repetitions = segment.repetitions(5)
    if not repetitions:
        return Value()
    if kind in _CODED:
        found = tuple(coding for text in repetitions for coding in codings(segment, text))
        return Value(text=display(found), codes=found)
    if kind == "SN":
        return _structured(segment, repetitions[0])
    if kind in ("NR", "DR"):
        return Value(text="-".join(first_leaf(segment, text) for text in segment.components(repetitions[0])))
    if kind not in _PLAIN:
        return None
    if len(segment.raw(5)) > _LONGEST_VALUE:
        return None
    if kind == "NM" and len(repetitions) > 1:  # several numbers are no number
        return Value(text=", ".join(filter(None, (_null(segment.leaf(text)).strip() for text in repetitions))))
    text = "\n".join(_null(segment.leaf(text)) for text in repetitions).strip()
    number = None if kind in _TIMES else _NUMBER.fullmatch(text)
    if number is not None:
        return Value(Decimal(number[2]), _COMPARATORS[number[1] or ""], text if number[1] else "")
    return None if is_prose(text) else Value(text=text)


def _structured(segment: Segment, repetition: str) -> Value:
    """SN: comparator, first number, separator or suffix, second number (``>^100``, ``^1^:^128``, ``^2^+``)."""
    parts = [first_leaf(segment, text) for text in segment.components(repetition)]
    comparator, first, separator, second = (*parts, "", "", "", "")[:4]
    number = read_number(first)
    if number is None or separator or second or comparator not in _COMPARATORS:
        return Value(text=f"{comparator}{first}{separator}{second}")
    return Value(number, _COMPARATORS[comparator], comparator + first if comparator.strip("=") else "")


def first_leaf(segment: Segment, text: str) -> str:
    """First component's first subcomponent of a raw repetition or component."""
    return segment.plain(segment.components(text)[0])


def _null(text: str) -> str:
    return "" if text == '""' else text
