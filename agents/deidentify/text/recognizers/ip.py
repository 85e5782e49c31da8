"""Internet and hardware addresses (45 CFR 164.514(b)(2)(i)(O), (M))."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agents.deidentify.text.signs import NearMatch
from agents.deidentify.text.spans import ID, Found

RULE = "ip"

_V4 = NearMatch(
    re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w]|\.\d)"),
    r"\.\d{1,3}\.",
    before=6,
    after=12,
)
_V6 = NearMatch(
    re.compile(
        r"(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){4,7}[0-9A-Fa-f]{1,4}(?![\w:])|(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){1,6}:(?:[0-9A-Fa-f]{1,4}:){0,5}[0-9A-Fa-f]{1,4}(?![\w:])"
    ),
    r":[0-9A-Fa-f]{0,4}:",
    before=24,
    after=50,
)
_MAC = NearMatch(
    re.compile(r"(?<![\w-])(?:[0-9A-Fa-f]{2}-){5}[0-9A-Fa-f]{2}(?![\w-])"),
    r"-[0-9A-Fa-f]{2}-[0-9A-Fa-f]{2}-",
    before=12,
    after=16,
)


def find(text: str) -> Iterator[Found]:
    for pattern in (_V4, _V6, _MAC):
        for match in pattern.finditer(text):
            yield Found(match.start(), match.end(), ID, "pattern", RULE)
