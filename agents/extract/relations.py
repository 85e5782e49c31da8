"""Relations inside one sentence: a drug's dose, reason and adverse event, a test's value, where a problem is.

- An attribute goes to the drug that it introduces ("2 g of ceftriaxone", "oral iron"), else to the nearest before it, else to the
  first after it; a duration only to one that it introduces or that stands before it with no problem between.
- A value goes to the test that it introduces ("elevated creatinine"), else to the nearest before it within reach.
- What is said once of a list holds for each member that has none of its own ("A and B were normal"), doses aside; "respectively" deals
  out one by one. Behind a name and its abbreviation in brackets the name is meant.
- Reasons, adverse events: ``causes.py``. Body sites: ``places.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence

from agents.extract.causes import causes
from agents.extract.places import places
from agents.extract.rules import ATTRIBUTES, SOURCE
from agents.extract.runs import between, runs
from schemas.findings import Mention, MentionType, Relation

#: A value further from its test than this many characters is not taken for its result.
_VALUE_REACH = 60
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


def relate(text: str, sentence: Sequence[Mention], make_id: Callable[[str, str, str], str]) -> list[Relation]:
    """Relations among the mentions of one sentence of ``text``, which stand in text order. ``make_id(type, head id, tail id)``."""
    found: dict[tuple[str, str, str], Relation] = {}
    for finder in (_attributes, _values, causes, places):
        for kind, head, tail in finder(text, sentence):
            name = make_id(kind, head.id, tail.id)
            score = min(head.score, tail.score)
            made = Relation(id=name, type=kind, head=head.id, tail=tail.id, score=score, source=SOURCE)
            found.setdefault((kind, head.id, tail.id), made)
    return list(found.values())


def _attributes(text: str, sentence: Sequence[Mention]) -> Iterator[tuple[str, Mention, Mention]]:
    drugs = [m for m in sentence if m.type == "medication"]
    tails = [m for m in sentence if m.type in ATTRIBUTES]
    if not drugs or not tails:
        return
    lists = runs(text, sentence, ("medication",))
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
            own = next(run for run in lists if head in run)
            if not any(own[0].start < other.start < own[-1].end for other in tails):
                yield from ((kind, drug, tail) for drug in own if drug is not head)


def _drug_of(text: str, sentence: Sequence[Mention], drugs: Sequence[Mention], tail: Mention) -> Mention | None:
    before = next((m for m in reversed(drugs) if m.end <= tail.start), None)
    after = next((m for m in drugs if m.start >= tail.end), None)
    if after:
        gap = between(text, tail.end, after.start, sentence, ATTRIBUTES)
        if _DRUG_OF.fullmatch(gap):
            return after
        tight = before and _DRUG_TIGHT.fullmatch(between(text, before.end, tail.start, sentence, ATTRIBUTES))
        if not tight and _DRUG_NEXT.fullmatch(gap):
            return after
    if tail.type == "duration":
        if before is None or any(m.type in ("problem", "finding") and before.end <= m.start < tail.start for m in sentence):
            return None
        return before
    return before or after


def _values(text: str, sentence: Sequence[Mention]) -> Iterator[tuple[str, Mention, Mention]]:
    tests = [m for m in sentence if m.type == "test"]
    values = [m for m in sentence if m.type == "value"]
    if not tests or not values:
        return
    lists = runs(text, sentence, ("test",))
    dealt = _respectively(text, sentence, lists, "value")
    for value in values:
        if value.id in dealt:
            yield "test-value", dealt[value.id], value
            continue
        before = next((m for m in reversed(tests) if m.end <= value.start), None)
        after = next((m for m in tests if m.start >= value.end), None)
        told = between(text, before.end, value.start, sentence, _VALUE) if before else ""
        tight = before and _TEST_TIGHT.fullmatch(told)
        if after and not tight and _TEST_NEXT.fullmatch(between(text, value.end, after.start, sentence, _VALUE)):
            own = next(run for run in lists if after in run)
            shared = own[own.index(after) :] if not any(own[0].start < v.start < own[-1].end for v in values) else (after,)
            yield from (("test-value", test, value) for test in shared)
        elif before and value.start - before.end <= _VALUE_REACH:
            own = next(run for run in lists if before in run)
            alone = not any(own[0].start < v.start < own[-1].end for v in values)
            if alone and _SHARED.fullmatch(told):
                yield from (("test-value", test, value) for test in own)
            else:
                yield "test-value", _named(text, tests, before), value


def _named(text: str, heads: Sequence[Mention], head: Mention) -> Mention:
    """The name that ``head`` abbreviates in brackets, or ``head``."""
    number = heads.index(head)
    if number and heads[number - 1].end <= head.start and _ALIAS.fullmatch(text[heads[number - 1].end : head.start]):
        return heads[number - 1]
    return head


def _respectively(
    text: str, sentence: Sequence[Mention], lists: Sequence[Sequence[Mention]], type_: MentionType
) -> dict[str, Mention]:
    """Head by tail id, where as many heads as tails stand in a sentence that says so."""
    types: Collection[MentionType] = (type_,)
    dealt: dict[str, Mention] = {}
    for tails in runs(text, sentence, types):
        if len(tails) > 1 and "respectively" in text[tails[-1].end : tails[-1].end + 20].lower():
            heads = next((run for run in reversed(lists) if len(run) == len(tails) and run[-1].end <= tails[0].start), None)
            if heads:
                dealt |= {tail.id: head for head, tail in zip(heads, tails, strict=True)}
    return dealt
