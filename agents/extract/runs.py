"""Runs: mentions of one kind that a sentence names together ("nausea, vomiting and rash"), and what stands between two mentions.

All mentions come in text order; look-ups are by bisection, so that a note of one endless line takes no more than n log n.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence

from schemas.findings import Mention, MentionType

#: Mentions farther apart than this many characters are not read as one statement.
REACH = 120
#: A longer list is cut: nothing said once is meant for more.
_LONGEST = 16
_CHANGE = r"(?:re)?(?:start|stop|beg[aiu]n|continu|discontinu|increas|decreas|develop|switch|h[oe]ld|resum|chang|add|given|received|treated)"
#: One run goes on over signs, conjunctions, brackets of an abbreviation, and two words of description behind them.
_JOIN = re.compile(
    rf"[\s)]*(?:(?:,|;|/|\+|&|\b(?:and/or|and|or|nor|plus|then|as\swell\sas|followed\sby)\b)\s*){{1,3}}(?:(?!{_CHANGE})[a-z-]+\s){{0,2}}|\s*\(\s*",
    re.I,
)
#: What may stand between the members of a run.
_SKIPPED: frozenset[MentionType] = frozenset({"dosage", "form", "route", "frequency", "anatomy"})
#: Stands for a mention in what is between two others.
MARK = "¤"


def between(text: str, left: int, right: int, mentions: Sequence[Mention], blank: Collection[MentionType] | None = None) -> str:
    """``text[left:right]`` with every mention that lies inside (of the types ``blank``, if given) written as ``MARK``; where it is
    longer than ``REACH``, only its beginning and no mark."""
    if right - left > REACH:
        return text[left : left + REACH + 1]
    parts = []
    at = left
    for number in range(bisect_left(mentions, left, key=_start), bisect_left(mentions, right, key=_start)):
        m = mentions[number]
        if at <= m.start and m.end <= right and (blank is None or m.type in blank):
            parts += [text[at : m.start], MARK]
            at = m.end
    return "".join([*parts, text[at:right]])


def last_before(mentions: Sequence[Mention], at: int) -> Mention | None:
    """The last one that ends at ``at`` or before."""
    number = bisect_right(mentions, at, key=_start)
    return next((m for m in reversed(mentions[max(0, number - _LONGEST) : number]) if m.end <= at), None)


def first_after(mentions: Sequence[Mention], at: int) -> Mention | None:
    """The first one that begins at ``at`` or behind."""
    number = bisect_left(mentions, at, key=_start)
    return mentions[number] if number < len(mentions) else None


def any_within(mentions: Sequence[Mention], run: Sequence[Mention]) -> bool:
    """Whether one of ``mentions`` begins between the first and the last member of the run."""
    return bisect_right(mentions, run[0].start, key=_start) < bisect_left(mentions, run[-1].start, key=_start)


def runs(text: str, sentence: Sequence[Mention], types: Collection[MentionType]) -> list[tuple[Mention, ...]]:
    """Mentions of ``types``, those that are named together in one tuple; attributes and anatomy may stand between them."""
    found: list[list[Mention]] = []
    for number, mention in enumerate(m for m in sentence if m.type in types):
        if number and len(found[-1]) < _LONGEST:
            last = found[-1][-1]
            near = last.end <= mention.start <= last.end + REACH
            if (
                near
                and not _parted(sentence, last.end, mention.start)
                and _JOIN.fullmatch(between(text, last.end, mention.start, sentence, _SKIPPED).replace(MARK, ""))
            ):
                found[-1].append(mention)
                continue
        found.append([mention])
    return [tuple(run) for run in found]


def _parted(sentence: Sequence[Mention], left: int, right: int) -> bool:
    """Whether a mention of another kind stands between: "hives, sulfa - rash" is no list of two problems."""
    low, high = bisect_left(sentence, left, key=_start), bisect_left(sentence, right, key=_start)
    return any(m.type not in _SKIPPED for m in sentence[low:high])


def _start(mention: Mention) -> int:
    return mention.start
