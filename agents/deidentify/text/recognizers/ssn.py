"""Social security numbers (45 CFR 164.514(b)(2)(i)(G)), taxpayer numbers of the same shape included."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agents.deidentify.text.signs import Near, NearMatch
from agents.deidentify.text.spans import ID, Found

RULE = "ssn"

_SHAPE = NearMatch(re.compile(r"(?<![\w-])\d{3}([- .]|\s?-\s?)\d{2}\1\d{4}(?![\w-])"), r"\d{4}", before=16, after=4)
#: The same, broken over two lines at any place: both hyphens must be there.
_BROKEN = NearMatch(
    re.compile(r"(?<![\w-])(?=[\d-]{1,10}\n[\d-])(?:\d\n?){3}-\n?(?:\d\n?){2}-\n?(?:\d\n?){3}\d(?![\w-])"),
    r"[\d-]\n[\d-]",
    before=12,
    after=12,
)
_NAMED = Near(
    re.compile(
        r"\b(?:ssn|soc(?:ial)?\.?\s{0,2}sec(?:urity)?)\b(?:\s{0,2}(?:number|no\.?|num|#))?[\s:#=-]{0,4}(?:is|was|ending in|ends in|last four(?: digits)?)?"
        r"[\s:#=*xX-]{0,12}(\d[\d -]{2,12}\d)",
        re.IGNORECASE,
    ),
    "ssn soc social",
    after=140,
    digit=True,
)


def find(text: str) -> Iterator[Found]:
    for pattern in (_SHAPE, _BROKEN):
        for match in pattern.finditer(text):
            yield Found(match.start(), match.end(), ID, "pattern", RULE)
    for match in _NAMED.finditer(text):
        yield Found(match.start(1), match.end(1), ID, "pattern", RULE)
