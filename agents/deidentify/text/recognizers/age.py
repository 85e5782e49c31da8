"""Ages over 89 (45 CFR 164.514(b)(2)(i)(C)); younger ages stay. Only the number is replaced, the unit stays readable."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agents.deidentify.text.signs import Near, NearMatch
from agents.deidentify.text.spans import AGE, Found

RULE = "age"

_NUMBER = r"9\d|1[0-3]\d"
_OLD = r"(?:9\d|1[0-3]\d)"
_UNIT = r"(?:\s?-?\s?(?:years?|yrs?|y)\b\.?[\s/.-]{0,2}(?:of[\s-]age|o(?:ld)?\b)?|\s?-?\s?y\.?/?o\b)"
_BEFORE_UNIT = NearMatch(re.compile(rf"(?<![\w.,/$-])({_OLD})(?={_UNIT})", re.IGNORECASE), _NUMBER, before=2, after=30)
_AFTER_WORD = Near(
    re.compile(
        rf"\b(?:age[ds]?|aged about)\b\s{{0,2}}(?::|=|is|was|of)?\s{{0,2}}({_OLD})(?![\w.]\d|\d|%|\s?(?:mg|days|months|weeks|hours))",
        re.IGNORECASE,
    ),
    "age aged ages",
    after=40,
    digit=True,
)
_SPELLED = Near(
    re.compile(
        r"\b((?:ninety|one hundred(?: and)?)(?:[- ](?:one|two|three|four|five|six|seven|eight|nine|ten))?)(?=[- ](?:years?|yrs?|yo)\b)",
        re.IGNORECASE,
    ),
    "ninety one",
    after=50,
)
_DECADE = Near(
    re.compile(r"\b(?:his|her|their|the|mid|late|early|in)[\s-]{1,2}(90'?s|nineties|hundreds)\b", re.IGNORECASE),
    "90s 90's nineties hundreds",
    before=14,
    after=12,
)
_CENTENARIAN = re.compile(r"\b(?:non-?agenarian|centenarian)\b", re.IGNORECASE)
#: ``94F`` is a temperature far more often than a woman.
_SEX = NearMatch(
    re.compile(r"(?<![\w.])(9\d|10\d)(?=[\s-]?(?:M\b(?!\s?\d)|yo\s?[MF]\b|\s(?:male|female|man|woman|gentleman|lady)\b))"),
    _NUMBER,
    before=2,
    after=24,
)


def find(text: str) -> Iterator[Found]:
    for pattern in (_BEFORE_UNIT, _AFTER_WORD, _SPELLED, _DECADE, _SEX):
        for match in pattern.finditer(text):
            yield Found(match.start(1), match.end(1), AGE, "pattern", RULE)
    for match in _CENTENARIAN.finditer(text):
        yield Found(match.start(), match.end(), AGE, "pattern", RULE)
