"""What is known of one patient so far: facts by id with the highest version, medication and allergy mentions, raised flags.

``merge`` is pure and, for facts, does not depend on the order of arrival: a late, corrected or withdrawn result finds its place
by version. A withdrawn fact stays as a tombstone, so that its older version cannot come back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import cached_property

import msgspec

from schemas.allergens import DOSED, is_allergen
from schemas.clinical import Coding, Fact
from schemas.findings import Assertion, Findings, MentionType

MINUTES_PER_HOUR = 60
#: Longest look-back of any rule (the KDIGO baseline needs 365 days), plus one day.
HORIZON_HOURS = 366 * 24
#: A bound for the few patients with endless series; the oldest facts go first.
MAX_FACTS = 4000
#: Kinds that rules can use; facts of other kinds stay in the findings.
_KEPT = frozenset({"lab", "vital", "problem", "medication", "allergy", "score"})
#: Kinds that stay true until withdrawn.
_TIMELESS = frozenset({"problem", "allergy"})


class ContextFact(msgspec.Struct, frozen=True):
    """A fact and the message that it came from."""

    fact: Fact
    origin: str


class ContextMention(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A mention as rules see it; ``allergen``: the text says that the patient does not tolerate it."""

    id: str
    origin: str
    note: str
    sha256: str
    start: int
    end: int
    text: str
    type: MentionType
    assertion: Assertion = Assertion()
    section: str = ""
    codes: tuple[Coding, ...] = ()
    elapsed: int | None = None
    allergen: bool = False


class Raised(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A flag that stands, or stood until ``ended``: ``level`` counts from 1 (lowest), ``refs`` the facts and mentions of its basis,
    ``episode`` as in ``Flag``.

    ``baseline`` as its rule computed it; ``seen``: the latest time at which its rule still held; ``ended``: when it passed, told by the message ``resolved``.
    """

    flag: str
    level: int
    elapsed: int | None
    origin: str
    refs: tuple[str, ...]
    seen: int | None = None
    baseline: Decimal | None = None
    resolved: str = ""
    ended: int | None = None
    episode: str = ""


class PatientContext(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    """``clock``: the latest message time in minutes on the patient's clock; ``raised`` by rule version and suppression key.

    Rules ask the same few things of a long record again and again: facts are sorted by kind and by code once, when first asked.
    """

    facts: dict[str, ContextFact] = {}
    mentions: dict[str, ContextMention] = {}
    raised: dict[str, Raised] = {}
    clock: int | None = None
    age_years: int | None = None
    sex: str = ""

    def current(self, kinds: Iterable[str]) -> list[ContextFact]:
        """Facts of these kinds that are not withdrawn, ordered by time on the patient's clock, then id; unknown time first."""
        named = [self._by_kind[kind] for kind in dict.fromkeys(kinds) if kind in self._by_kind]
        if len(named) == 1:
            return list(named[0])
        return sorted((row for rows in named for row in rows), key=by_time)

    def coded(self, code: str) -> Sequence[ContextFact]:
        """Facts with this code of whatever system, withdrawn ones too, in the same order."""
        return self._by_code.get(code, ())

    @cached_property
    def _by_kind(self) -> dict[str, list[ContextFact]]:
        found: dict[str, list[ContextFact]] = {}
        for row in sorted(self.facts.values(), key=by_time):
            if not row.fact.retracted:
                found.setdefault(row.fact.kind, []).append(row)
        return found

    @cached_property
    def _by_code(self) -> dict[str, list[ContextFact]]:
        found: dict[str, list[ContextFact]] = {}
        for row in sorted(self.facts.values(), key=by_time):
            for code in {coding.code for coding in row.fact.codes}:
                found.setdefault(code, []).append(row)
        return found


def by_time(row: ContextFact) -> tuple[int, str]:
    """Sort key: time on the patient's clock, unknown first, then id."""
    return _at(row.fact.elapsed), row.fact.id


def merge(context: PatientContext, findings: Findings, *, horizon_hours: int = HORIZON_HOURS) -> PatientContext:
    """The context after one message, pruned to ``horizon_hours`` before the latest message."""
    facts = dict(context.facts)
    for fact in findings.facts:
        if fact.kind in _KEPT:
            fact = _slim(fact, findings)
            known = facts.get(fact.id)
            if known is None or rank(fact) > rank(known.fact):
                facts[fact.id] = ContextFact(fact, findings.origin)
    mentions = {key: row for key, row in context.mentions.items() if row.origin != findings.origin}
    said = read_mentions(findings, ("medication", "problem", "finding"))
    mentions.update((row.id, row) for row in said if row.type == "medication" or row.allergen)
    clock = max((time for time in (context.clock, findings.elapsed) if time is not None), default=None)
    newest = findings.elapsed is None or findings.elapsed == clock
    return pruned(
        msgspec.structs.replace(
            context,
            facts=facts,
            mentions=mentions,
            clock=clock,
            age_years=findings.age_years if newest and findings.age_years is not None else context.age_years,
            sex=findings.sex if newest and findings.sex else context.sex,
        ),
        horizon_hours,
    )


def changed_facts(before: PatientContext, after: PatientContext, findings: Findings) -> frozenset[str]:
    """Ids of the facts that this message adds, corrects or withdraws. The message that already holds them changes them too, so
    that the same message evaluated again (other rule version) is evaluated over the same facts."""
    found = set()
    for key in {fact_key(fact, findings) for fact in findings.facts}:
        row = after.facts.get(key)
        if row is not None and row.origin == findings.origin:
            known = before.facts.get(key)
            if known is None or known.origin == findings.origin or rank(known.fact) != rank(row.fact):
                found.add(key)
    return frozenset(found)


def read_mentions(findings: Findings, types: Iterable[MentionType]) -> list[ContextMention]:
    """The message's mentions of these types with what the notes around them say."""
    notes = {note.path: note for note in findings.notes}
    wanted = frozenset(types)
    dosed = {relation.head for relation in findings.relations if relation.type in DOSED}
    return [
        ContextMention(
            id=mention.id,
            origin=findings.origin,
            note=mention.note,
            sha256=note.sha256,
            start=mention.start,
            end=mention.end,
            text=mention.text,
            type=mention.type,
            assertion=mention.assertion,
            section=mention.section,
            codes=mention.codes,
            elapsed=findings.elapsed,
            allergen=is_allergen(mention, note.text, dosed=mention.id in dosed),
        )
        for mention in findings.mentions
        if mention.type in wanted and (note := notes.get(mention.note)) is not None
    ]


def fact_key(fact: Fact, findings: Findings) -> str:
    """The fact's id among all of the patient's; ``#path`` ids mean nothing outside their message and get its origin."""
    return f"{findings.origin}{fact.id}" if fact.id.startswith("#") else fact.id


def _slim(fact: Fact, findings: Findings) -> Fact:
    """Without what no rule reads; a fact without a time of its own has the message's."""
    elapsed = findings.elapsed if fact.elapsed is None else fact.elapsed
    return msgspec.structs.replace(
        fact, id=fact_key(fact, findings), path="", time="", reference_range="", part_of="", details={}, elapsed=elapsed
    )


def rank(fact: Fact) -> tuple[int, int, bool, bytes]:
    """Which of two versions of one fact holds. Equal versions are told apart by content, never by arrival."""
    return fact.version, _at(fact.elapsed), fact.retracted, msgspec.json.encode(fact)


def _at(elapsed: int | None) -> int:
    return -(2**62) if elapsed is None else elapsed


def pruned(context: PatientContext, horizon_hours: int) -> PatientContext:
    """Without what is older than ``horizon_hours`` before the context's clock, and at most ``MAX_FACTS`` facts."""
    oldest = -(2**61) if context.clock is None else context.clock - horizon_hours * MINUTES_PER_HOUR

    def keep(elapsed: int | None) -> bool:
        return elapsed is None or elapsed >= oldest

    facts = {key: row for key, row in context.facts.items() if row.fact.kind in _TIMELESS or keep(row.fact.elapsed)}
    if len(facts) > MAX_FACTS:
        newest = sorted(facts.items(), key=lambda item: (_at(item[1].fact.elapsed), item[0]), reverse=True)
        facts = dict(newest[:MAX_FACTS])
    return msgspec.structs.replace(
        context,
        facts=facts,
        mentions={key: row for key, row in context.mentions.items() if row.allergen or keep(row.elapsed)},
        raised={key: row for key, row in context.raised.items() if keep(row.elapsed)},
    )
