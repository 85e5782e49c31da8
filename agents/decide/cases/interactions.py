"""Two medications of one patient beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Literal

from agents.decide.cases.evidence import Evidence
from agents.decide.cases.patient import Patient
from agents.decide.context import ContextFact
from agents.decide.form.conditions import AlsoGiven, Condition, Measured, Older, OrderedTwice, Together, Written
from agents.decide.form.conditions import Stated as StatedInput
from agents.decide.form.inputs import Measure, Statement
from agents.decide.form.rule import RuleForm, conditions
from agents.decide.reading.drugs import DrugLexicon
from agents.decide.reading.inputs import has_term, read_measure, takes_fact, takes_mention
from agents.decide.reading.pairs import Stated


@dataclass(slots=True)
class DrugsCase:
    """Two medications, the one with the lesser key first, or two orders of one; beside all others that are ``given``."""

    first: Stated
    second: Stated
    lexicon: DrugLexicon
    form: RuleForm
    given: Sequence[Stated]
    patient: Patient
    missing: set[str] = field(default_factory=set)
    counts: bool = True

    @property
    def elapsed(self) -> int | None:
        times = [row.elapsed for row in (self.first, self.second) if row.elapsed is not None]
        return max(times, default=None)

    def test(self, condition: Condition) -> Evidence | None:
        if isinstance(condition, OrderedTwice):
            return self._evidence(self.first, self.second) if self.first.key == self.second.key else None
        if self.first.key == self.second.key:
            return None
        if isinstance(condition, Together):
            for one, other in ((self.first, self.second), (self.second, self.first)):
                if self._is(one, condition.one) and self._is(other, condition.other):
                    return self._evidence(one, other)
            return None
        if isinstance(condition, Written):
            pair = (self.first, self.second)
            return Evidence() if any(self._is(o, condition.drugs) and _written(o, condition.words) for o in pair) else None
        if isinstance(condition, AlsoGiven):
            return self._third(condition)
        if isinstance(condition, Older):
            age = self.patient.age_years
            return None if age is None or age <= condition.than_years else Evidence(computed={"age": Decimal(age)})
        if isinstance(condition, Measured):
            return self._measured(condition)
        if isinstance(condition, StatedInput):
            statement = self.form.inputs[condition.input]
            assert isinstance(statement, Statement)
            return self.patient.stated(statement, condition.hours)
        raise TypeError(type(condition).__name__)

    def key(self, by: Literal["rule", "input", "pair"], evidence: Evidence) -> str:
        return evidence.part if by == "pair" else ""

    def _is(self, stated: Stated, names: tuple[str, ...]) -> bool:
        return not self.lexicon.kinds(stated.substance).isdisjoint(names)

    def _third(self, condition: AlsoGiven) -> Evidence | None:
        for row in self.given:
            other = row.key not in (self.first.key, self.second.key)
            if other and self._is(row, condition.drugs) and not _written(row, condition.not_written):
                return Evidence.of((row.source,))
        return None

    def _measured(self, condition: Measured) -> Evidence | None:
        measure = self.form.inputs[condition.input]
        assert isinstance(measure, Measure)
        reading = self.patient.latest(measure, condition.hours)
        if reading is None or reading.value is None:
            return None
        low, high = condition.at_least, condition.below
        if (low is not None and reading.value < low) or (high is not None and reading.value >= high):
            return None
        bounds = {f"{condition.input} at least": low, f"{condition.input} below": high}
        return Evidence((reading.row,), thresholds={name: bound for name, bound in bounds.items() if bound is not None})

    def _evidence(self, one: Stated, other: Stated) -> Evidence:
        return replace(
            Evidence.of((one.source, other.source)),
            words={"medication": one.substance.label or "a medication", "other": other.substance.label or "another"},
            part=f"{self.first.key}|{self.second.key}",
        )


def _written(row: Stated, words: tuple[str, ...]) -> bool:
    source = row.source
    if isinstance(source, ContextFact):
        texts = [source.fact.text, *(coding.display for coding in source.fact.codes)]
    else:
        texts = [source.text]
    return has_term(texts, words)


def drug_cases(
    form: RuleForm, given: Sequence[Stated], patient: Patient, touched: frozenset[str], lexicon: DrugLexicon
) -> Iterator[DrugsCase]:
    """Every pair of different substances of the table of which the message touches one, or beside which it brings what counts, each pair once, by its newest
    statements; and two orders of one."""
    newest: dict[str, Stated] = {}
    for row in sorted(given, key=_order):
        if row.substance.ingredients or row.substance.classes:
            newest[row.key] = row
    names = sorted(newest)
    if not names:
        return
    anew = _weighs_anew(form, given, patient, touched, lexicon)
    changed = set(names) if anew else {row.key for row in given if row.ref in touched}
    for number, first in enumerate(names):
        if first in changed and (two := _two_orders(given, first)):
            yield DrugsCase(*two, lexicon, form, given, patient)
        for second in names[number + 1 :]:
            if first in changed or second in changed:
                yield DrugsCase(newest[first], newest[second], lexicon, form, given, patient)


def _weighs_anew(
    form: RuleForm, given: Sequence[Stated], patient: Patient, touched: frozenset[str], lexicon: DrugLexicon
) -> bool:
    """Whether the message brings something that a condition looks at beside a pair: a third drug, a statement, a result."""
    third = {name for one in conditions(form) if isinstance(one, AlsoGiven) for name in one.drugs}
    if any(row.ref in touched and not lexicon.kinds(row.substance).isdisjoint(third) for row in given):
        return True
    rows = [row for key in touched if (row := patient.context.facts.get(key)) is not None]
    for source in form.inputs.values():
        if isinstance(source, Statement):
            stated = any(takes_fact(row.fact, source) for row in rows)
            if stated or any(takes_mention(mention, source) for mention in patient.mentions):
                return True
        elif isinstance(source, Measure) and any(read_measure(row, source) is not None for row in rows):
            return True
    return False


def _two_orders(given: Sequence[Stated], key: str) -> tuple[Stated, Stated] | None:
    """The two newest orders of the drug, the older one first; statements of one order are one."""
    orders: dict[str, Stated] = {}
    for row in given:
        source = row.source
        if row.key == key and isinstance(source, ContextFact) and source.fact.order:
            known = orders.get(source.fact.order)
            if known is None or _order(row) > _order(known):
                orders[source.fact.order] = row
    newest = sorted(orders.values(), key=_order)[-2:]
    return (newest[0], newest[1]) if len(newest) == 2 else None


def _order(row: Stated) -> tuple[int, str]:
    return -(2**62) if row.elapsed is None else row.elapsed, row.ref
