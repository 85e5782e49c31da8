"""Web addresses (45 CFR 164.514(b)(2)(i)(N)) and account names on services."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agents.deidentify.text.signs import Near
from agents.deidentify.text.spans import URL, Found

RULE = "url"

_FULL = re.compile(r"\b(?:https?|ftp|sftp|file)://[^\s<>\"']{2,2000}", re.IGNORECASE)
_BARE = Near(
    re.compile(
        r"(?<![\w@.-])(?:www\.[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}|[A-Za-z][\w-]{1,62}(?:\.[\w-]{1,63}){0,3}"
        r"\.(?:com|org|net|edu|gov|info|health|clinic|io|co\.uk))(?![\w-])(?:/[^\s<>\"']{0,1000})?",
        re.IGNORECASE,
    ),
    ".com .org .net .edu .gov .info .health .clinic .io .co.uk www.",
    before=280,
    after=1100,
    whole=False,
)
_HANDLE = re.compile(r"(?<![\w@.])@[A-Za-z_][\w.]{2,30}(?!\w)")


def find(text: str) -> Iterator[Found]:
    for pattern, sign in ((_FULL, "://"), (_BARE, "."), (_HANDLE, "@")):
        if sign not in text:
            continue
        for match in pattern.finditer(text):
            end = match.end()
            while text[end - 1] in ".,;:)":
                end -= 1
            yield Found(match.start(), end, URL, "pattern", RULE)
