"""Lines of an allergy list that a tagger ran together: "Sulfa - rash / Codeine" is two drugs and a reaction."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from agents.extract.rules import Span

_LINE = re.compile(r"[^\n]+")
#: A drug and what it did: "Sulfa - rash", "Sulfa: rash", "Sulfa (rash".
_ENTRY = re.compile(
    r"(?P<drug>[^\n:(–—]{0,50}?[^\s:(–—])(?:\s{1,4}[-–—]{1,3}\s{1,4}|\s{0,4}:\s{1,4}|\s{0,4}\()(?P<reaction>[^\n()]{0,60}[^\n()\s])"
)


def entries(text: str, span: Span) -> Iterator[Span]:
    """A medication span under an allergy heading, line by line; drug and reaction apart where a sign of the list parts them."""
    for line in _LINE.finditer(text, span.start, span.end):
        entry = _ENTRY.match(text, line.start(), line.end())
        if entry is None:
            yield replace(span, start=line.start(), end=line.end())
            continue
        yield replace(span, start=entry.start("drug"), end=entry.end("drug"))
        yield replace(span, start=entry.start("reaction"), end=entry.end("reaction"), type="finding")
