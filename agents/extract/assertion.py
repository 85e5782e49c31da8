"""ConText-class assertion: what is negated, possible, historical, hypothetical or a relative's (Harkema 2009).

Inside one sentence, phrases of the lexicon open scopes forward or backward; a scope ends at the sentence, at a stop phrase, at
its window, or where a new clause begins. A mention inside a scope takes its axis. Sections add defaults, and a list item also
stands in the scopes of the line that introduces the list ("Return if you have:").
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from agents.extract.lexicon import Lexicon, lexicon, tokens
from agents.extract.scopes import Scopes
from agents.extract.sections import Section, section_at
from agents.extract.sentences import Sentence
from schemas.findings import Assertion

#: What takes a section's default away: "presents with", "the patient has".
_OVERRULED = {"historical": "recent", "family": "patient"}
_SET = ("negated", "possible", "historical", "hypothetical", "family")


@dataclass(frozen=True, slots=True)
class Target:
    """A span to assert; ``type`` decides which section defaults apply."""

    start: int
    end: int
    type: str = "problem"


def assert_all(
    text: str,
    targets: Sequence[Target],
    sentences: Sequence[Sentence],
    sections: tuple[Section, ...],
    rules: Lexicon | None = None,
) -> list[Assertion]:
    """One assertion per target, same order. A target that crosses sentences is judged by the one where it begins."""
    table = rules or lexicon()
    by_sentence: dict[int, list[int]] = {}
    starts = [s.start for s in sentences]
    order = sorted(range(len(targets)), key=lambda i: targets[i].start)
    at = 0
    for index in order:
        while at + 1 < len(starts) and starts[at + 1] <= targets[index].start:
            at += 1
        by_sentence.setdefault(at, []).append(index)
    found = [Assertion()] * len(targets)
    for number, members in by_sentence.items():
        axes = _sentence(text, [targets[i] for i in members], sentences[number] if sentences else Sentence(0, len(text)), table)
        for index, one in zip(members, axes, strict=True):
            found[index] = _finish(one, targets[index], sections, table)
    return found


def _finish(axes: set[str], target: Target, sections: tuple[Section, ...], table: Lexicon) -> Assertion:
    default = table.sections.get(section_at(sections, target.start).name) if sections else None
    if default and target.type in default.types and _OVERRULED.get(default.axis) not in axes:
        axes.add(default.axis)
    return Assertion(**{axis: axis in axes for axis in _SET})


def _sentence(text: str, targets: list[Target], sentence: Sentence, table: Lexicon) -> list[set[str]]:
    words, starts, ends = tokens(text, sentence.start, sentence.end)
    if sentence.lead is not None:
        lead_words, lead_starts, lead_ends = tokens(text, *sentence.lead)
        if lead_words and lead_words[-1] == ":":
            lead_words, lead_starts, lead_ends = lead_words[:-1], lead_starts[:-1], lead_ends[:-1]
        words, starts, ends = lead_words + words, lead_starts + starts, lead_ends + ends
    scopes = Scopes(words, table)
    return [scopes.axes(bisect_right(ends, t.start), min(bisect_left(ends, t.end) + 1, len(words))) for t in targets]
