"""Internet and hardware addresses (45 CFR 164.514(b)(2)(i)(O), (M))."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agents.deidentify.text.spans import ID, Found

RULE = "ip"

_V4 = re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w]|\.\d)")
_V6 = re.compile(
    r"(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){4,7}[0-9A-Fa-f]{1,4}(?![\w:])|(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){1,6}:(?:[0-9A-Fa-f]{1,4}:){0,5}[0-9A-Fa-f]{1,4}(?![\w:])"
)
_MAC = re.compile(r"(?<![\w-])(?:[0-9A-Fa-f]{2}-){5}[0-9A-Fa-f]{2}(?![\w-])")


def find(text: str) -> Iterator[Found]:
    for pattern in (_V4, _V6, _MAC):
        for match in pattern.finditer(text):
            yield Found(match.start(), match.end(), ID, "pattern", RULE)
