"""Electronic mail addresses (45 CFR 164.514(b)(2)(i)(F)), spelled out ones included."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agents.deidentify.text.signs import Near
from agents.deidentify.text.spans import EMAIL, Found

RULE = "email"

_ADDRESS = re.compile(r"(?<![\w.+-])[\w.%+-]{1,64}\s?@\s?[\w-]{1,63}(?:\.[\w-]{1,63}){0,6}")
_SPELLED = Near(
    re.compile(
        r"\b[\w.-]{2,40}\s?(?:\(at\)|\[at\]|\bat\b)\s?[\w-]{2,40}\s?(?:\(dot\)|\[dot\]|\bdot\b|\.)\s?(?:com|org|net|edu|gov|info|uk|de|fr)\b",
        re.IGNORECASE,
    ),
    "com org net edu gov info uk de fr",
    before=120,
    after=8,
)


def find(text: str) -> Iterator[Found]:
    if "@" in text:
        for match in _ADDRESS.finditer(text):
            yield Found(match.start(), match.end(), EMAIL, "pattern", RULE)
    for match in _SPELLED.finditer(text):
        yield Found(match.start(), match.end(), EMAIL, "pattern", RULE)
