"""Signature blocks: the name under a closing formula or after ``/s/``, and initials of who dictated and typed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agents.deidentify.text.spans import NAME, Found

RULE = "signature"

_CLOSING = re.compile(
    r"(?:^|\n)[ \t]*(?:Sincerely|(?:Best |Kind |Warm )?[Rr]egards|Respectfully(?: submitted)?|Yours truly|Thank you|Thanks|Cordially)[ \t]*(?:,[ \t]*)?\n\s{0,4}"
    r"((?:[A-Z][\w'’.-]*[ \t]?){1,4})"
)
_SLASH = re.compile(r"/s/[ \t]{0,2}((?:[A-Z][\w'’.-]*[ \t]?){1,4})", re.IGNORECASE)
_INITIALS = re.compile(r"(?:^|\n)[ \t]*([A-Z]{2,3}[:/][A-Za-z]{2,3})(?=[ \t]*(?:\n|$|\d))")


def find(text: str) -> Iterator[Found]:
    for pattern in (_CLOSING, _SLASH, _INITIALS):
        for match in pattern.finditer(text):
            end = match.start(1) + len(match[1].rstrip())
            yield Found(match.start(1), end, NAME, "pattern", RULE, 0.85)
