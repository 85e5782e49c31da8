"""Where a problem or finding is: finding-body_site, by the words between it and the anatomy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agents.extract.runs import between, first_after, last_before, runs
from schemas.findings import Mention, MentionType

_SITE: frozenset[MentionType] = frozenset({"anatomy"})
#: "pain in the left knee": up to four words of description after the preposition.
_IN = re.compile(
    r"""\s+ | \s*(?:\w+\s){0,3}?(?:\b(?:in|of|on|over|at|to|within|into|from|around|near|along|involving|affecting|through|under|about|above|below
        |throughout|behind|invading|between|inside|across|towards?|located|extending|overlying|surrounding|adjacent)\b)
        (?:\s(?:\w+[\s,-]*|¤\s?)){0,4}\s*""",
    re.I | re.X,
)
#: "the abdomen is soft".
_IS = re.compile(r"\s*(?:\([^)]*\)\s?)?(?:is|was|were|are|appeared|remained|showed|had|with|has)\s(?:[\w-]+\s){0,4}", re.I)
#: "pain and swelling in the knee".
_TWIN = re.compile(r"\s?(?:and|or|/)\s?", re.I)
#: "tricuspid regurgitation", "left lung and pleural masses".
_BEFORE = re.compile(r"[\s-]*(?:[a-z-]+\s){0,1}", re.I)


def places(text: str, sentence: Sequence[Mention]) -> Iterator[tuple[str, Mention, Mention]]:
    """``("finding-body_site", problem or finding, anatomy)`` of one sentence's mentions, which stand in text order."""
    sites = runs(text, sentence, _SITE)
    heads = [m for m in sentence if m.type in ("problem", "finding", "test", "procedure")]
    for site in sites:
        before, after = last_before(heads, site[0].start), first_after(heads, site[-1].end)
        chosen = None
        if after and _BEFORE.fullmatch(between(text, site[-1].end, after.start, sentence)):
            chosen = after
        elif before and _IN.fullmatch(between(text, before.end, site[0].start, sentence)):
            chosen = before
            twin = last_before(heads, before.start)
            if twin and twin.type in ("problem", "finding") and _TWIN.fullmatch(text, twin.end, before.start):
                yield from (("finding-body_site", twin, place) for place in site)
        elif after and _IS.fullmatch(between(text, site[-1].end, after.start, sentence)):
            chosen = after
        if chosen and chosen.type in ("problem", "finding"):
            yield from (("finding-body_site", chosen, place) for place in site)
