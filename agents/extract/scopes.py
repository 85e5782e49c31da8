"""Scopes of one sentence: which tokens the phrases of the lexicon reach, per axis.

Everything is computed once per sentence into difference arrays, so that the time grows with the tokens and phrases, not with
their product, and not with the number of mentions asked about.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate

from agents.extract.lexicon import Axis, Lexicon, Rule, is_number, matches

#: A stop behind a phrase with nothing but these between belongs to it: "denies any history of", "no known".
_DETERMINERS = frozenset(("any", "a", "an", "the", "her", "his", "prior", "previous", "other", "further", "new"))
_BREAKS = frozenset(",;.)")
_CLAUSE_SIGNS = frozenset((",", "and", ";", "-", "."))
_SUBJECTS = frozenset(("he", "she", "they", "it", "there", "this", "i", "we", "patient", "her", "his"))
#: How far back from a verb the beginning of its clause is looked for.
_CLAUSE_TOKENS = 40


@dataclass(frozen=True, slots=True)
class Phrase:
    """Tokens ``[start, end)`` that a rule matched."""

    start: int
    end: int
    rule: Rule


class Scopes:
    """``words`` are the lower-case tokens of one sentence."""

    def __init__(self, words: list[str], table: Lexicon) -> None:
        self._words = words
        self._table = table
        phrases, stops = _scan(words, table)
        self._stops: dict[str, list[Phrase]] = {
            axis: [stop for stop in stops if not stop.rule.axes or axis in stop.rule.axes]
            for axis in {p.rule.axis for p in phrases}
        }
        self._stop_starts = {axis: [s.start for s in rows] for axis, rows in self._stops.items()}
        self._stop_ends = {axis: [s.end for s in rows] for axis, rows in self._stops.items()}
        self._verbs = [
            at
            for at, word in enumerate(words)
            if word in table.clause_verbs and not (at + 1 < len(words) and words[at + 1] in table.clause_passive)
        ]
        self._closing = _closing_brackets(words)
        self._at: dict[int, list[Phrase]] = {}
        forward: dict[str, list[int]] = {}
        backward: dict[str, list[int]] = {}
        for phrase in phrases:
            for at in range(phrase.start, phrase.end):
                self._at.setdefault(at, []).append(phrase)
            low, high = self._reach(phrase)
            if low < high:
                row = (forward if phrase.rule.forward else backward).setdefault(phrase.rule.axis, [0] * (len(words) + 1))
                row[low] += 1
                row[high] -= 1
        self._forward = {axis: list(accumulate(row)) for axis, row in forward.items()}
        self._backward = {axis: list(accumulate(row)) for axis, row in backward.items()}

    def axes(self, first: int, last: int) -> set[str]:
        """Axes of a mention on tokens ``[first, last)``."""
        if first >= len(self._words) or last <= first:
            return set()
        found: set[str] = {axis for axis, row in self._forward.items() if row[first]}
        found.update(axis for axis, row in self._backward.items() if row[last - 1])
        # A phrase that opens the mention itself counts: "no known drug allergies", "no acute [acute distress]".
        found.update(p.rule.axis for p in self._at.get(first, ()) if p.rule.forward and p.end <= last)
        return found

    def _reach(self, phrase: Phrase) -> tuple[int, int]:
        """Tokens where a mention must begin (forward) or end (backward) to stand in the phrase's scope."""
        rule = phrase.rule
        if rule.forward:
            limit = self._forward_limit(phrase)
            return phrase.end, min(limit, phrase.end + rule.window) if rule.window else limit
        low = max(0, phrase.start - rule.window) if rule.window else 0
        ends = self._stop_ends[rule.axis]
        before = bisect_left(ends, phrase.start + 1) - 1
        if before >= 0:
            low = max(low, self._stops[rule.axis][before].start)
        return low, phrase.start

    def _forward_limit(self, phrase: Phrase) -> int:
        axis, words = phrase.rule.axis, self._words
        limit = len(words)
        starts = self._stop_starts[axis]
        for number in range(bisect_left(starts, phrase.end), len(starts)):
            stop = self._stops[axis][number]
            between = stop.start - phrase.end
            if stop.rule.axes and between <= 2 and all(word in _DETERMINERS for word in words[phrase.end : stop.start]):
                continue
            limit = stop.start
            break
        # A phrase inside brackets says nothing about what follows them.
        closing = self._closing[phrase.end - 1]
        if closing is not None:
            limit = min(limit, max(closing, phrase.end))
        if axis in self._table.clause_axes and not phrase.rule.through:
            number = bisect_left(self._verbs, phrase.end + 1)
            if number < len(self._verbs) and self._verbs[number] < limit:
                return self._clause_start(phrase.end, self._verbs[number])
        return limit

    def _clause_start(self, begin: int, verb: int) -> int:
        for at in range(verb - 1, max(begin, verb - _CLAUSE_TOKENS), -1):
            if self._words[at] in ("or", "nor"):
                return verb
            if self._words[at] in _CLAUSE_SIGNS or self._words[at] in _SUBJECTS:
                return at
        return verb


def _closing_brackets(words: list[str]) -> list[int | None]:
    """Per token the closing bracket of the innermost pair that it stands in, if that pair is closed."""
    result: list[int | None] = [None] * len(words)
    inner: int | None = None
    waiting: list[int | None] = []
    for at in range(len(words) - 1, -1, -1):
        if words[at] == ")":
            waiting.append(inner)
            inner = at
        elif words[at] == "(" and waiting:
            inner = waiting.pop()
        else:
            result[at] = inner
    return result


def _scan(words: list[str], table: Lexicon) -> tuple[list[Phrase], list[Phrase]]:
    """Phrases of the sentence: per axis the longest, left to right; shorter ones inside a longer "none" phrase are dropped,
    and denials inside a longer phrase of doubt ("cannot be ruled out")."""
    rows: dict[tuple[Axis, bool], list[Phrase]] = {}
    first = table.root.children
    for at, word in enumerate(words):
        if word not in first and not is_number(word):
            continue  # most words begin no phrase
        for end, rules in matches(table.root, words, at):
            for rule in rules:
                if rule.final and end < len(words) and words[end] not in _BREAKS:
                    continue
                row = rows.setdefault((rule.axis, rule.forward), [])
                if row and row[-1].start == at:
                    row[-1] = Phrase(at, end, rule)
                elif not row or row[-1].end <= at:
                    row.append(Phrase(at, end, rule))
    everything = [phrase for row in rows.values() for phrase in row]
    masks = _by_token([p for p in everything if p.rule.axis == "none"])
    doubts = _by_token([p for p in everything if p.rule.axis == "possible"])
    speaking = [p for p in everything if p.rule.axis not in ("stop", "none")]
    spoken = _by_token([p for p in speaking if p.rule.axis not in ("patient", "recent")])
    stops = [p for p in everything if p.rule.axis == "stop" and not _held(p, spoken) and not _held(p, masks)]
    kept = [p for p in speaking if not _inside(p, masks) and not (p.rule.axis == "negated" and _inside(p, doubts))]
    return kept, sorted(stops, key=lambda p: p.start)


def _by_token(phrases: list[Phrase]) -> dict[int, list[Phrase]]:
    found: dict[int, list[Phrase]] = {}
    for phrase in phrases:
        for at in range(phrase.start, phrase.end):
            found.setdefault(at, []).append(phrase)
    return found


def _inside(phrase: Phrase, others: dict[int, list[Phrase]]) -> bool:
    """Whether another phrase that speaks of the same axis holds this one or runs on from its last word ("there was no" in
    "there was no change in")."""
    axis = phrase.rule.axis
    return any(
        (o.end > phrase.end or o.start < phrase.start) and (not o.rule.axes or axis in o.rule.axes)
        for o in others.get(phrase.end - 1, ())
    )


def _held(stop: Phrase, others: dict[int, list[Phrase]]) -> bool:
    """Whether a longer phrase holds this stop: "history of" in "no history of", "but" in "including but not limited to"."""
    size = stop.end - stop.start
    return any(o.start <= stop.start and o.end - o.start > size for o in others.get(stop.end - 1, ()))
