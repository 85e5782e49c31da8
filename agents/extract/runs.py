"""Runs: mentions of one kind that a sentence names together ("nausea, vomiting and rash"), and what stands between two of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from schemas.findings import Mention, MentionType

#: One run goes on over signs, conjunctions, brackets of an abbreviation, and two words of description behind them.
_JOIN = re.compile(
    r"[\s)]*(?:(?:,|;|/|\+|&|\b(?:and/or|and|or|nor|plus|then|as\swell\sas|followed\sby)\b)\s*)+(?:(?:[a-z-]+\s){0,2})|\s*\(\s*",
    re.I,
)
#: Stands for a mention in what is between two others.
MARK = "¤"


def between(text: str, left: int, right: int, mentions: Sequence[Mention], blank: Collection[MentionType] | None = None) -> str:
    """``text[left:right]`` with every mention that lies inside (of the types ``blank``, if given) written as one mark."""
    parts = []
    at = left
    for m in mentions:
        if at <= m.start and m.end <= right and (blank is None or m.type in blank):
            parts += [text[at : m.start], MARK]
            at = m.end
    return "".join([*parts, text[at:right]])


def runs(text: str, sentence: Sequence[Mention], types: Collection[MentionType]) -> list[tuple[Mention, ...]]:
    """Mentions of ``types`` in text order, those that are named together in one tuple; attributes may stand between them."""
    found: list[list[Mention]] = []
    for number, mention in enumerate(m for m in sentence if m.type in types):
        if number:
            last = found[-1][-1]
            gap = between(text, last.end, mention.start, sentence, _SKIPPED).replace(MARK, "")
            if last.end <= mention.start and _JOIN.fullmatch(gap):
                found[-1].append(mention)
                continue
        found.append([mention])
    return [tuple(run) for run in found]


_SKIPPED: frozenset[MentionType] = frozenset({"dosage", "form", "route", "frequency", "anatomy"})
