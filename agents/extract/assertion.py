"""ConText-class assertion: what is negated, possible, historical, hypothetical or a relative's (Harkema 2009; NegEx, Chapman 2001).

Inside one sentence, phrases of the lexicon open scopes forward or backward; a scope ends at the sentence, at a stop phrase, at
its window, or where a new clause begins. A mention inside a scope takes its axis. Sections add defaults, and a list item also
stands in the scopes of the line that introduces the list ("Return if you have:").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents.extract.lexicon import Axis, Lexicon, Rule, lexicon, matches, tokens
from agents.extract.sections import Section, section_at
from agents.extract.sentences import Sentence
from schemas.findings import Assertion

#: A stop behind a phrase with nothing but these between belongs to it: "denies any history of", "no known".
_DETERMINERS = frozenset("any a an the her his prior previous other further new".split())
_BREAKS = frozenset(",;.)")
_SET = ("negated", "possible", "historical", "hypothetical", "family")


@dataclass(frozen=True, slots=True)
class Target:
    """A span to assert; ``type`` decides which section defaults apply."""

    start: int
    end: int
    type: str = "problem"


@dataclass(frozen=True, slots=True)
class _Trigger:
    start: int
    end: int
    rule: Rule


def assert_all(
    text: str, targets: Sequence[Target], sentences: Sequence[Sentence], sections: tuple[Section, ...], rules: Lexicon | None = None
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
    if default and target.type in default.types:
        axes.add(default.axis)
    if "recent" in axes:
        axes.discard("historical")
    if "patient" in axes:
        axes.discard("family")
    return Assertion(**{axis: axis in axes for axis in _SET})


def _sentence(text: str, targets: list[Target], sentence: Sentence, table: Lexicon) -> list[set[str]]:
    words, starts, ends = tokens(text, sentence.start, max(sentence.end, *(t.end for t in targets)))
    if sentence.lead is not None:
        lead_words, lead_starts, lead_ends = tokens(text, *sentence.lead)
        if lead_words and lead_words[-1] == ":":
            lead_words, lead_starts, lead_ends = lead_words[:-1], lead_starts[:-1], lead_ends[:-1]
        words, starts, ends = lead_words + words, lead_starts + starts, lead_ends + ends
    triggers, stops = _scan(words, table)
    found: list[set[str]] = []
    for target in targets:
        first = next((i for i, e in enumerate(ends) if e > target.start >= starts[i] or starts[i] >= target.start), len(words))
        last = next((i for i in range(first, len(words)) if ends[i] >= target.end), len(words) - 1) + 1
        axes: set[str] = set()
        for trigger in triggers:
            if trigger.rule.axis not in axes and _reaches(trigger, first, last, words, stops, table):
                axes.add(trigger.rule.axis)
        found.append(axes)
    return found


def _scan(words: list[str], table: Lexicon) -> tuple[list[_Trigger], list[_Trigger]]:
    """Phrases of the sentence: per axis the longest, left to right; shorter ones inside a longer "none" phrase are dropped,
    and denials inside a longer phrase of doubt ("cannot be ruled out")."""
    spans: dict[tuple[Axis, bool], list[_Trigger]] = {}
    for at in range(len(words)):
        for end, rules in matches(table.root, words, at):
            for rule in rules:
                if rule.final and end < len(words) and words[end] not in _BREAKS:
                    continue
                row = spans.setdefault((rule.axis, rule.forward), [])
                if row and row[-1].start == at:
                    row[-1] = _Trigger(at, end, rule)
                elif not row or row[-1].end <= at:
                    row.append(_Trigger(at, end, rule))
    everything = [trigger for row in spans.values() for trigger in row]
    masks = [t for t in everything if t.rule.axis == "none"]
    doubts = [t for t in everything if t.rule.axis == "possible"]
    longest = [t for t in everything if t.rule.axis not in ("stop", "none")]
    stops = [t for t in everything if t.rule.axis == "stop" and not _inside(t, longest) and not _inside(t, masks)]
    kept = [t for t in longest if not _inside(t, masks) and not (t.rule.axis == "negated" and _inside(t, doubts))]
    return kept, sorted(stops, key=lambda t: t.start)


def _inside(trigger: _Trigger, others: list[_Trigger]) -> bool:
    """Whether another phrase that speaks of the same axis (a stop: of any) holds this one or runs on from its last word:
    "there was [no" + "change in]"."""
    axis = trigger.rule.axis
    return any(
        o.start < trigger.end <= o.end
        and (o.end > trigger.end or o.start < trigger.start)
        and (axis == "stop" or not o.rule.axes or axis in o.rule.axes)
        for o in others
    )


def _reaches(
    trigger: _Trigger, first: int, last: int, words: list[str], stops: list[_Trigger], table: Lexicon
) -> bool:
    rule = trigger.rule
    if rule.forward:
        if trigger.start <= first < trigger.end <= last:
            return True  # the phrase opens the mention itself: "no known drug allergies", "no acute [acute distress]"
        if first < trigger.end or (rule.window and first - trigger.end >= rule.window):
            return False
        return first < _forward_limit(trigger, first, words, stops, table)
    if last > trigger.start or (rule.window and trigger.start - last >= rule.window):
        return False
    return not any(s.start >= last and s.end <= trigger.start and _applies(s, rule) for s in stops)


def _forward_limit(trigger: _Trigger, first: int, words: list[str], stops: list[_Trigger], table: Lexicon) -> int:
    axis = trigger.rule.axis
    limit = len(words)
    for stop in stops:
        if stop.start >= trigger.end and _applies(stop, trigger.rule):
            if stop.rule.axes and all(word in _DETERMINERS for word in words[trigger.end : stop.start]):
                continue
            limit = stop.start
            break
    depth = 0
    for at in range(trigger.end, limit):
        depth += (words[at] == "(") - (words[at] == ")")
        if depth < 0:  # a phrase inside brackets says nothing about what follows them
            limit = at
            break
    if axis in table.clause_axes:
        for at in range(trigger.end + 1, limit):
            if words[at] in table.clause_verbs and not (at + 1 < len(words) and words[at + 1] in table.clause_passive):
                return _clause_start(trigger.end, at, words)
    return limit


def _clause_start(begin: int, verb: int, words: list[str]) -> int:
    for at in range(verb - 1, begin, -1):
        if words[at] in ("or", "nor"):
            return verb
        if words[at] in (",", "and", ";", "-", "."):
            return at
    return verb


def _applies(stop: _Trigger, rule: Rule) -> bool:
    return not stop.rule.axes or rule.axis in stop.rule.axes
