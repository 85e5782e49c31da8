"""What a layer finds in a text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

NAME, DATE, AGE, ID, PHONE = "NAME", "DATE", "AGE", "ID", "PHONE"
EMAIL, URL, LOCATION, ORGANIZATION = "EMAIL", "URL", "LOCATION", "ORGANIZATION"


class Found(NamedTuple):
    """``text[start:end]`` is an identifier of ``type``; ``rule`` the recognizer or model that says so."""

    start: int
    end: int
    type: str
    layer: str
    rule: str
    score: float = 1.0


#: Where spans overlap the merged one takes the most specific type.
_RANK = {EMAIL: 9, URL: 8, PHONE: 7, ID: 6, DATE: 5, AGE: 4, NAME: 3, LOCATION: 2, ORGANIZATION: 1}
_LAYERS = {"known": 3, "pattern": 2, "model": 1}


def merge(found: Iterable[Found], text: str) -> list[Found]:
    """Union in text order without overlaps; parts of one name that only a blank or a full stop separates become one."""
    merged: list[Found] = []
    for span in sorted(found, key=lambda s: (s.start, -s.end)):
        if merged and span.start < merged[-1].end:
            merged[-1] = _join(merged[-1], span)
        elif merged and _same_name(merged[-1], span, text):
            merged[-1] = merged[-1]._replace(end=span.end, score=min(merged[-1].score, span.score))
        else:
            merged.append(span)
    return merged


def _join(a: Found, b: Found) -> Found:
    best = max(a, b, key=lambda s: (_LAYERS.get(s.layer, 0), _RANK.get(s.type, 0), s.end - s.start))
    return best._replace(start=min(a.start, b.start), end=max(a.end, b.end))


def _same_name(a: Found, b: Found, text: str) -> bool:
    return a.type == b.type == NAME and b.start - a.end <= 2 and text[a.end : b.start] in ("", " ", ". ", ".", "-", "’", "'")
