"""What has a fixed form is found by pattern: doses, routes, frequencies, vital signs, laboratory values, suicidality.

``find`` gives the patterns' spans of one sentence, ``unite`` joins them with the model's by a written order of precedence.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from agents.extract.patterns import ATTRIBUTE_PATTERNS, SUICIDALITY, SUICIDALITY_HINT, VERSION, test_patterns
from schemas.clinical import Coding
from schemas.findings import MentionType

SOURCE = f"rules/{VERSION}"
#: Drug attributes.
ATTRIBUTES: frozenset[MentionType] = frozenset({"dosage", "form", "route", "frequency", "duration"})
#: Types whose spans rules may replace: the patterns cut them finer than a tagger does.
_REFINED: frozenset[MentionType] = ATTRIBUTES | {"value", "test"}


@dataclass(frozen=True, slots=True)
class Span:
    """``fixed`` spans win over every other."""

    start: int
    end: int
    type: MentionType
    score: float
    source: str
    codes: tuple[Coding, ...] = ()
    fixed: bool = False


_DIGIT = re.compile(r"\d")


def find(text: str, start: int, end: int, *, drugs: bool) -> list[Span]:
    """Rule spans of one sentence ``text[start:end]``, disjoint, in order.

    ``drugs`` says that the sentence names a drug or stands in a medication list; without it, attributes are kept only where
    a dose stands with its route or frequency.
    """
    found: list[Span] = []
    taken = bytearray(end - start)

    def keep(*spans: Span) -> None:
        low, high = min(s.start for s in spans) - start, max(s.end for s in spans) - start
        if low < high and not any(taken[low:high]):
            taken[low:high] = b"\1" * (high - low)
            found.extend(spans)

    if SUICIDALITY_HINT.search(text, start, end):
        for pattern, codes in SUICIDALITY:
            for m in pattern.finditer(text, start, end):
                keep(Span(m.start(), m.end(), "finding", 1.0, SOURCE, codes, fixed=True))
    digits = _DIGIT.search(text, start, end) is not None
    if digits:
        for pattern in test_patterns():
            for m in pattern.finditer(text, start, end):
                test, value = m.span("test"), m.span("value")
                keep(Span(*test, "test", 1.0, SOURCE), Span(*value, "value", 1.0, SOURCE))
    if drugs or (digits and ATTRIBUTE_PATTERNS[0][1].search(text, start, end)):
        before = list(found)
        for kind, pattern in ATTRIBUTE_PATTERNS:
            for m in pattern.finditer(text, start, end):
                keep(Span(m.start(), m.end(), kind, 1.0, SOURCE))
        kinds = {span.type for span in found}
        if not drugs and not ("dosage" in kinds and kinds & {"route", "frequency"}):
            found = before
    return sorted(found, key=lambda s: s.start)


def unite(model: Sequence[Span], rules: Sequence[Span]) -> list[Span]:
    """Disjoint union in text order; depends on nothing but the two lists (``rules`` disjoint; of model spans that overlap the
    first, longest stays).

    A fixed rule span replaces what it overlaps. Any other rule span replaces model spans of a type that the patterns cut
    finer (attributes, tests, values) unless it is all that they see there and the model span has the same type and is longer;
    it shortens a medication span at whose edge it stands ("metformin 500 mg"); everywhere else the model's span stays and the
    rule's goes.
    """
    slots: list[Span | None] = []
    for span in sorted(model, key=lambda s: (s.start, -s.end)):
        if not slots or slots[-1] is None or slots[-1].end <= span.start:
            slots.append(span)
    ends = [span.end for span in slots if span is not None]
    starts = [span.start for span in slots if span is not None]
    # Model spans in which the patterns see several things ("20 mg daily") are cut.
    kinds: dict[int, set[str]] = {}
    reached = [range(bisect_right(ends, rule.start), bisect_left(starts, rule.end)) for rule in rules]
    for rule, numbers in zip(rules, reached, strict=True):
        for number in numbers:
            kinds.setdefault(number, set()).add(rule.type)
    accepted: list[Span] = []
    for rule, numbers in zip(rules, reached, strict=True):
        hit = [(n, said) for n in numbers if (said := slots[n]) and rule.start < said.end and said.start < rule.end]
        outcome = [
            None if rule.fixed or (len(kinds[n]) > 1 and span.type in _REFINED) else _against(rule, span) for n, span in hit
        ]
        if any(left is span for left, (_, span) in zip(outcome, hit, strict=True)):
            continue
        for (number, _), remainder in zip(hit, outcome, strict=True):
            slots[number] = remainder
        accepted.append(rule)
    return sorted([*(span for span in slots if span is not None), *accepted], key=lambda s: (s.start, s.end, s.type))


def _against(rule: Span, model: Span) -> Span | None:
    """What is left of ``model`` when ``rule`` is taken: itself (the rule loses), a shortened span, or nothing."""
    if model.type == rule.type and model.end - model.start > rule.end - rule.start:
        return model
    if model.type in _REFINED or (rule.start <= model.start and model.end <= rule.end and model.type == "anatomy"):
        return None
    if model.type == "medication" and rule.start > model.start and rule.end >= model.end:
        return Span(model.start, rule.start, model.type, model.score, model.source)
    if model.type == "medication" and rule.start <= model.start and rule.end < model.end:
        return Span(rule.end, model.end, model.type, model.score, model.source)
    return model
