"""Telephone, fax and pager numbers (45 CFR 164.514(b)(2)(i)(D), (E)): North American and international forms."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agents.deidentify.text.signs import Near, NearMatch
from agents.deidentify.text.spans import PHONE, Found

RULE = "phone"

_NORTH_AMERICAN = NearMatch(
    re.compile(
        r"(?<![\w.-])(?:\+?1[-. ]{0,2})?(?:\(\d{3}\)\s{0,2}|\d{3}[-. /]\s?)\d{3}[-. ]\s?\d{4}"
        r"(?:\s{0,2},?\s?(?:x|ext\.?|extension)\s{0,2}\d{1,6})?(?![\w-])",
        re.IGNORECASE,
    ),
    r"\d{3}",
    before=14,
    after=50,
)
_INTERNATIONAL = NearMatch(
    re.compile(r"(?<![\w.])(?:\+|00)\d{1,3}(?:[-. ()/]{0,2}\d){6,13}(?!\w)"), r"\+\d|00\d", before=2, after=60
)
#: Seven digits; not a range of doses or counts.
_LOCAL = NearMatch(
    re.compile(
        r"(?<![\w./-])\d{3}-\d{4}(?![\w-])(?!\s{0,2}(?:mg|ml|mcg|g|kg|units?|iu|kcal|cal|cells?|mm|cm|meq|/|%))", re.IGNORECASE
    ),
    r"\d{3}-\d{4}",
    before=2,
    after=20,
)
_NAMED = Near(
    re.compile(
        r"\b(?:phone|tel(?:ephone)?|cell(?:phone)?|mobile|fax|ph|contact|callback|call(?:ed)?|reach(?:ed)?|text(?:ed)?|dial)\b\.?"
        r"(?:\s{0,2}(?:me|him|her|them|us|back|patient|pt|number|no\.?|#))?\s{0,2}(?::|is|at|on|=)?\s{0,2}"
        r"(\+?\(?\d(?:[-. ()/]{0,2}\d){6,14})(?!\w)",
        re.IGNORECASE,
    ),
    "phone tel telephone cell cellphone mobile fax ph contact callback call called reach reached text texted dial",
    after=120,
    digit=True,
)
_PAGER = Near(
    re.compile(
        r"\b(?:pager|beeper|ext(?:ension)?)\b\.?(?:\s{0,2}(?:number|no\.?|#))?\s{0,2}[:#]?\s{0,2}(\d{3,7})\b", re.IGNORECASE
    ),
    "pager beeper ext extension",
    after=60,
    digit=True,
)


def find(text: str) -> Iterator[Found]:
    for pattern, group in ((_NORTH_AMERICAN, 0), (_INTERNATIONAL, 0), (_LOCAL, 0), (_NAMED, 1), (_PAGER, 1)):
        for match in pattern.finditer(text):
            yield Found(match.start(group), match.end(group), PHONE, "pattern", RULE)
