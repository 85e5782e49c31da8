"""On which side a problem or finding is: left, right or bilateral, by its own words, its body site's, and those right beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from agents.extract.runs import first_after, last_before
from schemas.findings import Laterality, Mention

_SIDE = re.compile(
    r"""\b(?P<left>left|(?-i:L))(?:[\s-]sided|[\s-]side)?\b (?!\s(?:shift|hand(?:ed)?|the\b|for\b|against|without|ama\b|alone|home|untreated)|-handed)
      | \b(?P<right>right|(?-i:R))(?:[\s-]sided|[\s-]side)?\b (?!\s(?:away|now|hand(?:ed)\b|after|before|then|at\sthe)|-handed)
      | \b(?P<both>bilateral(?:ly)?|b/l|bilat|both(?!\sthe\b|(?:\s[\w-]+){1,3}\s(?:and|or)\b))\b""",
    re.I | re.X,
)
#: Before the mention: the side and up to three words of description ("left mild [weakness]").
_BEFORE = re.compile(r"(?:[\w/-]+\s+){0,4}\Z")
#: Behind the mention: "on the left", "bilaterally", "of both [legs]".
_AFTER = re.compile(
    r"\A\s+(?:\(\s*)?(?:[\w-]+\s){0,2}?(?:(?:on|in|to|of|over|at|along)\s(?:the\s|her\s|his\s)?(?:left|right|both)|bilaterally)\b[\w\s-]{0,6}",
    re.I,
)
_REACH = 48


def laterality(text: str, mention: Mention, sites: Iterable[Mention], sentence: Sequence[Mention]) -> Laterality:
    """``sites``: the mention's body sites; ``sentence``: the mentions of its sentence, in text order. Empty where no side is named."""
    spans = [mention, *sites]
    told = set().union(*(_sides(text, span.start, span.end) for span in spans))
    if not told:
        told = set().union(*(_beside(text, span, sentence) for span in spans))
    if "both" in told or {"left", "right"} <= told:
        return "bilateral"
    return "left" if "left" in told else "right" if "right" in told else ""


def _beside(text: str, span: Mention, sentence: Sequence[Mention]) -> set[str]:
    """The sides that stand right before the span or behind it, with no other mention between."""
    earlier, later = last_before(sentence, span.start), first_after(sentence, span.end)
    low = max(span.start - _REACH, earlier.end if earlier else 0)
    high = min(span.end + _REACH, later.start if later else len(text))
    before = _BEFORE.search(text[low : span.start])
    told = _sides(text, low + before.start(), span.start) if before else set()
    after = _AFTER.match(text[span.end : high])
    return told or (_sides(text, span.end, span.end + after.end()) if after else set())


def _sides(text: str, start: int, end: int) -> set[str]:
    """What is behind ``end`` is looked at too, to tell "both lungs" from "both the lung and the liver"."""
    found = _SIDE.finditer(text, start, min(len(text), end + _REACH))
    return {str(one.lastgroup) for one in found if one.end() <= end}
