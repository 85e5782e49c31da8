"""Relations inside one sentence: a drug's dose, reason and adverse event, a test's value, where a problem is, what came first.

- An attribute goes to the drug that it introduces ("2 g of ceftriaxone", "oral iron"), else to the nearest before it, else to the
  first after it; a duration only to one that it introduces or that stands before it with no problem between.
- A value goes to the test that it introduces ("elevated creatinine"), else to the nearest before it within reach.
- What is said once of a list holds for each member that has none of its own ("A and B were normal"), doses aside; "respectively" deals
  out one by one. Behind a name and its abbreviation in brackets the name is meant.
- Reasons, adverse events: ``causes.py``. Body sites: ``places.py``. Before, after and during: ``events.py``.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence

from agents.extract.causes import causes
from agents.extract.events import Ordered, events
from agents.extract.places import places
from agents.extract.rules import ATTRIBUTES, SOURCE
from agents.extract.runs import REACH, any_within, between, first_after, last_before, runs
from schemas.findings import Mention, MentionType, Relation

#: A value further from its test than this many characters is not taken for its result.
_VALUE_REACH = 60
#: "Respectively" looks back over this many lists.
_NEAR = 4
_DRUG: frozenset[MentionType] = frozenset({"medication"})
_TEST: frozenset[MentionType] = frozenset({"test"})
_VALUE: frozenset[MentionType] = frozenset({"value"})
_OF = r"(?:(?:doses?|courses?|cycles?|infusions?|injections?|amounts?|a\s(?:day|week))\s)?(?:of|with)\s(?:[\w-]+\s){0,2}?"
#: From an attribute to the drug that it introduces, and from a drug to an attribute that is surely its own.
_DRUG_NEXT = re.compile(rf"[\s¤-]*(?:{_OF})?[\s¤]*", re.I)
_DRUG_OF = re.compile(rf"[\s¤-]*{_OF}[\s¤]*", re.I)
_DRUG_TIGHT = re.compile(
    r"[\s(:,=¤-]*(?:\b(?:at|in|a|an|dose|doses|dosage|of|was|is|given|therapy|treatment)\b[\s¤]*){0,4}", re.I
)
_TEST_NEXT = re.compile(r"\s(?:(?:of|for|in)\s)?(?:[\w-]+\s){0,2}|-", re.I)
_TEST_TIGHT = re.compile(
    r"""[\s)]*(?:\([^()]*\)\s?)?[\s:=(,~]*
        (?:\b(?:levels?|values?|counts?|score|titers?|concentrations?|is|was|were|are|of|at|be|been|to|remained|showed|revealed|had|both
            |still|within|all|found|also|the)\b[\s:=(]*){0,5}""",
    re.I | re.X,
)
_SHARED = re.compile(r"[\s)]*(?:levels?\s)?(?:were|are|was|is|had|remained|showed)\b.*", re.I)
_ALIAS = re.compile(r"\s?\(")


def relate(
    text: str, sentence: Sequence[Mention], make_id: Callable[[str, str, str], str], *, start: int = 0, end: int | None = None
) -> list[Relation]:
    """Relations among the mentions of one sentence, ``text[start:end]``, which stand in text order. ``make_id(type, head id, tail id)``."""
    found: dict[tuple[str, str, str], Relation] = {}
    for finder in (_attributes, _values, causes, places):
        for kind, head, tail in finder(text, sentence):
            name = make_id(kind, head.id, tail.id)
            score = min(head.score, tail.score)
            made = Relation(id=name, type=kind, head=head.id, tail=tail.id, score=score, source=SOURCE)
            found.setdefault((kind, head.id, tail.id), made)
    ordered = [_event(one, make_id) for one in events(text, sentence, start, len(text) if end is None else end)]
    return [*found.values(), *ordered]


def _event(one: Ordered, make_id: Callable[[str, str, str], str]) -> Relation:
    tail = one.tail.id if one.tail is not None else ""
    name = make_id(one.order, one.head.id, tail or f"@{one.anchor.start if one.anchor else 0}")
    score = one.head.score if one.tail is None else min(one.head.score, one.tail.score)
    return Relation(
        id=name, type=one.order, head=one.head.id, tail=tail, score=score, source=SOURCE, anchor=one.anchor, lag=one.lag
    )


def _attributes(text: str, sentence: Sequence[Mention]) -> Iterator[tuple[str, Mention, Mention]]:
    drugs = [m for m in sentence if m.type == "medication"]
    tails = [m for m in sentence if m.type in ATTRIBUTES]
    if not drugs or not tails:
        return
    lists = runs(text, sentence, _DRUG)
    run_of = {m.id: run for run in lists for m in run}
    dealt = _respectively(text, sentence, lists, "dosage")
    for tail in tails:
        kind = f"medication-{tail.type}"
        if tail.id in dealt:
            yield kind, dealt[tail.id], tail
            continue
        head = _drug_of(text, sentence, drugs, tail)
        if head is None:
            continue
        yield kind, _named(text, drugs, head), tail
        if tail.type in ("route", "frequency", "duration"):
            own = run_of[head.id]
            if not any_within(tails, own):
                yield from ((kind, drug, tail) for drug in own if drug is not head)


def _drug_of(text: str, sentence: Sequence[Mention], drugs: Sequence[Mention], tail: Mention) -> Mention | None:
    before, after = last_before(drugs, tail.start), first_after(drugs, tail.end)
    if after:
        gap = between(text, tail.end, after.start, sentence, ATTRIBUTES)
        if _DRUG_OF.fullmatch(gap):
            return after
        tight = before and _DRUG_TIGHT.fullmatch(between(text, before.end, tail.start, sentence, ATTRIBUTES))
        if not tight and _DRUG_NEXT.fullmatch(gap):
            return after
    if tail.type == "duration":
        if before is None or tail.start - before.end > REACH:
            return None
        near = sentence[
            bisect_left(sentence, before.end, key=lambda m: m.start) : bisect_left(sentence, tail.start, key=lambda m: m.start)
        ]
        return None if any(m.type in ("problem", "finding") for m in near) else before
    return before or after


def _values(text: str, sentence: Sequence[Mention]) -> Iterator[tuple[str, Mention, Mention]]:
    tests = [m for m in sentence if m.type == "test"]
    values = [m for m in sentence if m.type == "value"]
    if not tests or not values:
        return
    lists = runs(text, sentence, _TEST)
    run_of = {m.id: run for run in lists for m in run}
    having: set[str] = set()  # tests whose value stood before them
    dealt = _respectively(text, sentence, lists, "value")
    for value in values:
        if value.id in dealt:
            yield "test-value", dealt[value.id], value
            continue
        before, after = last_before(tests, value.start), first_after(tests, value.end)
        told = between(text, before.end, value.start, sentence, _VALUE) if before else ""
        tight = before and before.id not in having and _TEST_TIGHT.fullmatch(told)
        if after and not tight and _TEST_NEXT.fullmatch(between(text, value.end, after.start, sentence, _VALUE)):
            own = run_of[after.id]
            shared = (after,) if any_within(values, own) else own[own.index(after) :]
            having.update(test.id for test in shared)
            yield from (("test-value", test, value) for test in shared)
        elif before and value.start - before.end <= _VALUE_REACH:
            own = run_of[before.id]
            if not any_within(values, own) and _SHARED.fullmatch(told):
                yield from (("test-value", test, value) for test in own)
            else:
                yield "test-value", _named(text, tests, before), value


def _named(text: str, heads: Sequence[Mention], head: Mention) -> Mention:
    """The name that ``head`` abbreviates in brackets, or ``head``."""
    full = last_before(heads, head.start)
    if full and _ALIAS.fullmatch(text, full.end, head.start):
        return full
    return head


def _respectively(
    text: str, sentence: Sequence[Mention], lists: Sequence[Sequence[Mention]], type_: MentionType
) -> dict[str, Mention]:
    """Head by tail id, where as many heads as tails stand in a sentence that says so."""
    types: Collection[MentionType] = (type_,)
    dealt: dict[str, Mention] = {}
    for tails in runs(text, sentence, types):
        if len(tails) > 1 and "respectively" in text[tails[-1].end : tails[-1].end + 20].lower():
            known = lists[: bisect_right(lists, tails[0].start, key=lambda run: run[-1].end)]
            heads = next((run for run in reversed(known[-_NEAR:]) if len(run) == len(tails)), None)
            if heads:
                dealt |= {tail.id: head for head, tail in zip(heads, tails, strict=True)}
    return dealt
