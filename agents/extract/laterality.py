"""On which side a finding, problem, procedure or body part is, by its own words, the words around it, or its body sites.

"Left" as a verb ("left the hospital"), "right" as an adverb ("right after meals") and sides that are part of a name (left ventricular
hypertrophy, right bundle branch block, left shift) are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from schemas.findings import Laterality

_WORDS = {
    "left": "left", "lt": "left", "l": "left", "left-sided": "left", "right": "right", "rt": "right", "r": "right", "right-sided": "right",
    "bilateral": "bilateral", "bilaterally": "bilateral", "bilat": "bilateral", "b/l": "bilateral", "both": "bilateral",
}  # fmt: skip
#: Capital letters alone, and lobes, quadrants and limbs by their usual letters.
_LETTERS = r"(?-i:[LR](?=\s|-sided)|B/L)|(?-i:[LR](?:UQ|LQ|UL|ML|LL|UE|LE)|B(?:UE|LE))"
_NO_SIDE = r"(?![\s-]+(?:ventric|atri|axis|bundle|main\b|anterior\sdesc|circumflex|coronary|shift|heart|hand(?:ed|er)|after|away|now|before|when|in\b|with\b))"
_SIDE = re.compile(
    rf"\b(?:(?:left|right)(?:-sided)?\b{_NO_SIDE}|bilateral(?:ly)?\b|bilat\b|both\b|[lr]t\b\.?|{_LETTERS})", re.IGNORECASE
)
_DESCRIBED = r"(?:(?:lower|upper|mid|middle|proximal|distal|medial|lateral|anterior|posterior|inferior|superior|inner|outer|sided|side|mild|moderate|severe|acute|chronic|small|large)[\s-]+){0,3}"
_BEFORE = re.compile(rf"({_SIDE.pattern})[\s-]+{_DESCRIBED}$", re.IGNORECASE)
_AFTER = re.compile(
    r"""\s{0,8},?\s{0,8}(?: (?P<both>bilat(?:eral(?:ly)?)?\b|on\s(?:both\ssides|the\sleft\sand\s(?:the\s)?right)|(?:left|right|[LR])\s(?:>|greater\sthan)\s(?:left|right|[LR]))
          | (?:(?:on|to)\s(?:the|his|her)\s)? (?P<side>left|right)(?:\sside)? ) (?=\s{0,8}(?:[.,;)]|$|\n|and\b|with\b))""",
    re.IGNORECASE | re.VERBOSE,
)
#: "both bradyarrhythmia and tachyarrhythmia" is no side.
_PAIR = re.compile(r"\s+and\b", re.IGNORECASE)
#: Characters before a mention in which a side is looked for.
_REACH = 40


def side_of(text: str, start: int, end: int) -> Laterality:
    """The side that the words of ``text[start:end]``, those right before, or those right behind it give; empty where none does."""
    own = _said(_SIDE.findall(text[start:end]))
    if own:
        return own
    before = _BEFORE.search(text[max(0, start - _REACH) : start].rpartition("\n")[2])
    if before and not (before.group(1).lower() == "both" and _PAIR.match(text, end)):
        return _said([before.group(1)])
    after = _AFTER.match(text, end)
    if after is None:
        return ""
    return "bilateral" if after["both"] else _said([after["side"]])


def joined(sides: Iterable[Laterality]) -> Laterality:
    """One side for several places: left and right are both sides."""
    known = {side for side in sides if side}
    if len(known) > 1:
        return "bilateral"
    return known.pop() if known else ""


def _said(words: Iterable[str]) -> Laterality:
    found: set[Laterality] = set()
    for word in words:
        plain = word.lower().rstrip(".")
        if plain in _WORDS:
            found.add(_WORDS[plain])  # type: ignore[arg-type]
        else:
            found.add({"l": "left", "r": "right", "b": "bilateral"}[plain[0]])  # type: ignore[arg-type]
    return joined(found)
