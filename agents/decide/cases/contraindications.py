"""A medication beside what the record says of the patient: a problem, a state, or the kidney's filtration rate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Literal

from agents.decide.cases.case import below, shown
from agents.decide.cases.evidence import Evidence, rounded
from agents.decide.cases.filtration import Rate, computed_rate
from agents.decide.cases.patient import Patient, elapsed_of, recent
from agents.decide.context import ContextFact, ContextMention
from agents.decide.form.conditions import Condition, GivenBelow, GivenWith
from agents.decide.form.index import OnContraindications
from agents.decide.form.inputs import Measure, Statement
from agents.decide.form.rule import RuleForm
from agents.decide.reading.drugs import DrugLexicon
from agents.decide.reading.inputs import Reading, readings, takes_fact, takes_mention
from agents.decide.reading.pairs import Stated


@dataclass(slots=True)
class ContraindicationCase:
    """One medication beside the sources of one statement (``name``), or beside the filtration rate (no name)."""

    medication: Stated
    lexicon: DrugLexicon
    name: str = ""
    sources: Sequence[ContextFact | ContextMention] = ()
    rate: Rate | None = None
    now: int | None = None
    missing: set[str] = field(default_factory=set)
    counts: bool = True

    @property
    def elapsed(self) -> int | None:
        """When the two came together."""
        beside = (*self.sources, self.rate.row) if self.rate else self.sources
        times = [self.medication.elapsed, *(elapsed_of(source) for source in beside)]
        return max((time for time in times if time is not None), default=None)

    def test(self, condition: Condition) -> Evidence | None:
        if not isinstance(condition, GivenWith | GivenBelow):
            raise TypeError(type(condition).__name__)
        if self.lexicon.kinds(self.medication.substance).isdisjoint(condition.drugs):
            return None
        return self._stated(condition) if isinstance(condition, GivenWith) else self._below(condition)

    def key(self, by: Literal["rule", "input", "pair"], evidence: Evidence) -> str:
        return evidence.part if by == "pair" else self.name if by == "input" else ""

    def _stated(self, condition: GivenWith) -> Evidence | None:
        if condition.input != self.name:
            return None
        held = [source for source in self.sources if recent(elapsed_of(source), self.now, condition.hours)]
        return self._evidence(held) if held else None

    def _below(self, condition: GivenBelow) -> Evidence | None:
        if self.name:
            return None
        if self.rate is None or self.rate.value is None:
            self.missing.add("eGFR" if self.rate is None else self.rate.missing)
            return None
        value = self.rate.value
        if not below(value, self.rate.comparator, condition.below):
            return None
        return self._evidence(
            (self.rate.row,),
            computed={"eGFR": rounded(value)},
            thresholds={"eGFR below (mL/min/1.73m2)": condition.below},
            words={"egfr": self.rate.comparator + shown(value.quantize(Decimal("0.1")))},
        )

    def _evidence(
        self,
        beside: Sequence[ContextFact | ContextMention],
        *,
        computed: dict[str, Decimal] | None = None,
        thresholds: dict[str, Decimal] | None = None,
        words: dict[str, str] | None = None,
    ) -> Evidence:
        return replace(
            Evidence.of((self.medication.source, *beside)),
            computed=computed or {},
            thresholds=thresholds or {},
            words={"medication": self.medication.substance.label or "A medication"} | (words or {}),
            part=f"{self.medication.key}|{self.name}",
        )


def contraindication_cases(
    form: RuleForm,
    index: OnContraindications,
    given: Sequence[Stated],
    patient: Patient,
    touched: frozenset[str],
    lexicon: DrugLexicon,
) -> Iterator[ContraindicationCase]:
    """A medication of the table with each statement that is made and with the rate, where ``touched`` holds a part of it."""
    known = [row for row in given if row.substance.ingredients or row.substance.classes]
    if not known or not touched:
        return
    rate = _latest(form, index, patient)
    for row in known:
        if index.filtration and (row.ref in touched or (rate is not None and rate.row.fact.id in touched)):
            yield ContraindicationCase(row, lexicon, rate=rate, now=patient.now)
    for name in index.statements:
        source = form.inputs[name]
        assert isinstance(source, Statement)
        facts = [row for row in patient.context.current(source.facts) if takes_fact(row.fact, source)]
        mentions = [mention for mention in patient.mentions if takes_mention(mention, source)]
        fresh = bool(mentions) or any(row.fact.id in touched for row in facts)
        for row in known:
            if fresh or row.ref in touched:
                yield ContraindicationCase(row, lexicon, name, (*facts, *mentions), now=patient.now)


def _latest(form: RuleForm, index: OnContraindications, patient: Patient) -> Rate | None:
    """The newest measurement of the window; at one time a charted rate comes before one that has to be computed."""
    newest: tuple[tuple[int, bool, str], Reading] | None = None
    for name in index.filtration:
        measure = form.inputs[name]
        assert isinstance(measure, Measure)
        charted = measure.analyte == "filtration"
        for reading in readings(patient.context, measure):
            row = reading.row
            if not recent(reading.elapsed, patient.now, index.hours):
                continue
            if patient.now is not None and reading.elapsed is not None and reading.elapsed > patient.now:
                continue
            order = (-(2**62) if reading.elapsed is None else reading.elapsed, charted, row.fact.id)
            if newest is None or order > newest[0]:
                newest = order, reading
    if newest is None:
        return None
    (_, charted, _), found = newest
    if charted or found.value is None:
        return Rate(found.row, found.value, found.comparator, found.missing)
    return computed_rate(found, patient.age_years, patient.sex)
