"""What short forms stand for, by the note's own definitions: the long form before a bracket (Schwartz and Hearst 2003)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

_BRACKET = re.compile(r"\(([^\s()\[\];,]{2,10})[;,)]")
_WORD = re.compile(r"\S+")


def defined(text: str) -> dict[str, str]:
    """Short form -> long form of each "long form (LF)" in ``text``; the first definition counts."""
    found: dict[str, str] = {}
    for match in _BRACKET.finditer(text):
        short = match[1]
        if not short[0].isalnum() or not is_short(short):
            continue
        # Biological long forms have at most twice the letters of the short form as words, or five more (Schwartz and Hearst).
        words = list(_WORD.finditer(text, max(0, match.start() - 160), match.start()))[-min(len(short) + 5, 2 * len(short)) :]
        if words and (long := _long_form(short, text[words[0].start() : match.start()].rstrip())):
            found.setdefault(short, long)
    return found


def _long_form(short: str, before: str) -> str:
    """The shortest end of ``before`` that has the letters of ``short`` in order, the first of them at the beginning of a word."""
    at = len(before)
    for k in range(len(short) - 1, -1, -1):
        letter = short[k].lower()
        if not letter.isalnum():
            continue
        at -= 1
        while at >= 0 and (before[at].lower() != letter or (k == 0 and at > 0 and before[at - 1].isalnum())):
            at -= 1
        if at < 0:
            return ""
    long = before[before.rfind(" ", 0, at) + 1 :]
    return long if len(long) > len(short) and short not in long.split() else ""


def abbreviated(text: str, spans: Sequence[tuple[int, int, str]]) -> dict[str, str]:
    """Short mention -> long mention of the same type right before it: "alkaptonuria (AKU)". ``spans``: start, end, type."""
    found: dict[str, str] = {}
    ordered = sorted(spans)
    for (start, end, kind), (after, last, other) in pairwise(ordered):
        short = text[after:last]
        if kind == other and text[end:after] in (" (", "(") and text[last : last + 1] in (")", ",", ";") and is_short(short):
            found.setdefault(short, text[start:end])
    return found


def is_short(text: str) -> bool:
    """Whether a word looks like a short form: up to ten characters, two capitals at least."""
    return 1 < len(text) <= 10 and " " not in text and sum(c.isupper() for c in text) > 1
