"""Calendar dates in all their forms; a year alone stays (45 CFR 164.514(b)(2)(i)(C))."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agents.deidentify.text.span import Found

_MONTH = (
    r"(?:jan(?:uary|\.)?|feb(?:ruary|\.)?|mar(?:ch|\.)?|apr(?:il|\.)?|may|june?|july?|aug(?:ust|\.)?|sept?(?:ember|\.)?|"
    r"oct(?:ober|\.)?|nov(?:ember|\.)?|dec(?:ember|\.)?)"
)
_DAY = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_YEAR = r"(?:1[89]|20)\d{2}"
_ISO = re.compile(
    rf"(?<![\w.-]){_YEAR}([-/.])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])(?:[T ]\d{{2}}:\d{{2}}(?::\d{{2}})?(?:\.\d{{1,9}})?(?:Z|[+-]\d{{2}}:?\d{{2}})?)?(?![\w-])"
)
_NUMERIC = re.compile(
    rf"(?<![\w./-])(?:0?[1-9]|[12]\d|3[01])([-/.])(?:0?[1-9]|[12]\d|3[01])\1(?:{_YEAR}|\d{{2}})(?![\w/-])(?!\.\d)"
)
_COMPACT = re.compile(rf"(?<![\w.-]){_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[0-2]\d[0-5]\d(?:[0-5]\d)?)?(?![\w.-])")
_WORDS = re.compile(
    rf"\b(?:{_MONTH}\s{{0,2}}{_DAY}(?!\d)(?:\s?,?\s{{0,2}}{_YEAR}\b|\s?,?\s?'?\d{{2}}\b(?!\s?(?:mg|ml|%|year|y/o|yo|day|week|hour|min)))?|"
    rf"{_DAY}(?:\s|-)(?:of\s)?{_MONTH}(?:[\s,-]{{1,3}}(?:{_YEAR}|\d{{2}}\b))?|{_MONTH},?\s{{1,2}}(?:of\s)?{_YEAR}\b|{_MONTH}-\d{{2,4}}\b)",
    re.IGNORECASE,
)
_MONTH_DAY = re.compile(
    r"\b(?:on|since|until|till|by|dated|from|through|thru|seen|dob|admitted|discharged|visit|date|of|last|next|before|after)[:\s]{1,3}"
    r"((?:0?[1-9]|1[0-2])/(?:0?[1-9]|[12]\d|3[01]))(?![\w/%])(?!\s?(?:mmhg|strength|power|pain|bilateral))",
    re.IGNORECASE,
)
_MONTH_YEAR = re.compile(rf"(?<![\w./-])(?:0?[1-9]|1[0-2])[/-]{_YEAR}(?![\w/-])")
_HOLIDAYS = re.compile(
    r"\b(?:christmas(?: eve| day)?|new year'?s(?: eve| day)?|thanksgiving(?: day)?|easter(?: sunday)?|halloween|valentine'?s day|"
    r"fourth of july|4th of july|labor day|memorial day|independence day|veterans day|mother'?s day|father'?s day)\b",
    re.IGNORECASE,
)


def find(text: str) -> Iterator[Found]:
    """``3/4`` is a date only after a word that dates; ``May`` alone is none."""
    for rule, pattern in (
        ("date-iso", _ISO),
        ("date-numeric", _NUMERIC),
        ("date-compact", _COMPACT),
        ("date-words", _WORDS),
        ("date-month-year", _MONTH_YEAR),
        ("date-holiday", _HOLIDAYS),
    ):
        for match in pattern.finditer(text):
            yield Found(*match.span(), "DATE", "pattern", rule)
    for match in _MONTH_DAY.finditer(text):
        yield Found(*match.span(1), "DATE", "pattern", "date-month-day")
