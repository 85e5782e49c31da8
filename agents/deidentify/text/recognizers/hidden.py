"""Identifiers taken apart or wrapped: digits or letters with blanks between them, and runs of base64 that hold text."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from itertools import pairwise

from agents.deidentify.text.signs import NearMatch
from agents.deidentify.text.spans import DATE, ID, NAME, Found

RULE = "hidden"

_SPACED = NearMatch(
    re.compile(r"(?<![\w.])\d(?:[ \n\t.-]{1,3}\d){8,19}(?![\w.])"), r"\d[ \n\t.-]{1,3}\d[ \n\t.-]{1,3}\d", before=2, after=90
)
_SPACED_DATE = NearMatch(re.compile(r"(?<![\w./])\d(?: {1,2}[\d/.-]){6,20}(?![\w./])"), r"\d {1,2}[\d/.-] ", before=2, after=70)
_SPACED_LETTERS = NearMatch(
    re.compile(r"(?<![\w'’])[A-Za-z](?: {1,3}[A-Za-z]){5,60}(?![\w'’])"), r"[A-Za-z] [A-Za-z] [A-Za-z] ", before=2, after=260
)
_BASE64 = re.compile(r"(?<![\w+/=])[A-Za-z0-9+/]{10,4000}={0,2}(?![\w+/=])")
_DIGIT, _FEWEST_DIGITS = re.compile(rb"\d"), 5
_TEXT = re.compile(rb"[\x20-\x7e\s]{7,}")


def find(text: str) -> Iterator[Found]:
    for match in _SPACED.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if any(int(b) - int(a) not in (0, 1) for a, b in pairwise(digits)):  # not a scale from 0 to 10
            yield Found(match.start(), match.end(), ID, "pattern", RULE, 0.8)
    for pattern, type_ in ((_SPACED_DATE, DATE), (_SPACED_LETTERS, NAME)):
        for match in pattern.finditer(text):
            if type_ == NAME or len(re.findall(r"[/.-]", match[0])) == 2:
                yield Found(match.start(), match.end(), type_, "pattern", RULE, 0.7)
    for match in _BASE64.finditer(text):
        written = match[0]
        if not (any(c.isdigit() or c in "+/=" for c in written) and any(c.isupper() for c in written)):
            continue
        try:
            plain = base64.b64decode(written + "=" * (-len(written) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
        # Encoded digits hold no small letters; words and codes in capitals hold none either, but decode to few digits.
        if _TEXT.fullmatch(plain) and (any(c.islower() for c in written) or len(_DIGIT.findall(plain)) >= _FEWEST_DIGITS):
            yield Found(match.start(), match.end(), ID, "pattern", RULE, 0.8)
