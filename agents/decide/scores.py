"""Scores over several measures (NEWS2, SIRS, qSOFA): the points of each part, at a moment, from the newest values up to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from agents.decide.cases import above, at_least, at_most, below
from agents.decide.context import MINUTES_PER_HOUR, ContextFact, ContextMention, PatientContext
from agents.decide.evidence import Evidence
from agents.decide.form import Band, Condition, Measure, OnScore, PartInput, Points, RuleForm, Stated, Statement
from agents.decide.inputs import Reading, read_measure, takes_fact, takes_mention


@dataclass(frozen=True, slots=True)
class Scored:
    """Points of one part, and the reading that gave them."""

    name: str
    points: int
    reading: Reading


@dataclass(slots=True)
class ScoreCase:
    """The score at ``at`` (minutes on the patient's clock). ``mentions`` are those of this message."""

    form: RuleForm
    at: int | None
    parts: Sequence[Scored]
    context: PatientContext
    mentions: Sequence[ContextMention]
    missing: set[str] = field(default_factory=set)
    counts: bool = True

    @property
    def elapsed(self) -> int | None:
        return self.at

    def test(self, condition: Condition) -> Evidence | None:
        if isinstance(condition, Points):
            return self._points(condition)
        if isinstance(condition, Stated):
            return self._stated(condition)
        raise TypeError(type(condition).__name__)

    def key(self, by: Literal["rule", "input", "pair"], evidence: Evidence) -> str:
        return ""

    def _points(self, condition: Points) -> Evidence | None:
        total = sum(part.points for part in self.parts)
        single = [part for part in self.parts if condition.one_part is not None and part.points >= condition.one_part]
        reached = condition.at_least is not None and total >= condition.at_least
        if not reached and not single:
            return None
        thresholds = (
            {"score": Decimal(condition.at_least)}
            if condition.at_least is not None
            else {"points of one part": Decimal(condition.one_part or 0)}
        )
        told = [part for part in self.parts if part.points] if reached else single
        return Evidence(
            tuple(part.reading.row for part in self.parts),
            computed={"score": Decimal(total), **{f"points: {part.name}": Decimal(part.points) for part in self.parts}},
            thresholds=thresholds,
            words={"score": str(total), "parts": ", ".join(part.name.replace("_", " ") for part in told)},
        )

    def _stated(self, condition: Stated) -> Evidence | None:
        statement = self.form.inputs[condition.input]
        assert isinstance(statement, Statement)
        oldest = None if self.at is None else self.at - condition.hours * MINUTES_PER_HOUR
        for row in self.context.current(statement.facts):
            recent = oldest is None or row.fact.elapsed is None or row.fact.elapsed >= oldest
            if recent and takes_fact(row.fact, statement):
                return Evidence((row,))
        for mention in self.mentions:
            if takes_mention(mention, statement):
                return Evidence((), (mention,))
        return None


def score_cases(
    form: RuleForm, index: OnScore, context: PatientContext, changed: frozenset[str], mentions: Sequence[ContextMention]
) -> Iterator[ScoreCase]:
    """One case for each moment at which the message brings, corrects or withdraws a value of a part."""
    readings = {name: list(_readings(form, inputs, context)) for name, inputs in index.parts.items()}
    touched = {
        row.fact.elapsed
        for key in changed
        if (row := context.facts.get(key)) is not None and any(_is_part(form, inputs, row) for inputs in index.parts.values())
    }
    for at in sorted(touched, key=lambda moment: -1 if moment is None else moment):
        parts = [
            scored for name, found in readings.items() if (scored := _newest(name, found, at, index.reach_hours)) is not None
        ]
        case = ScoreCase(form, at, parts, context, mentions)
        case.missing |= {name.replace("_", " ") for name in index.parts.keys() - {part.name for part in parts}}
        if parts:
            yield case


def _is_part(form: RuleForm, inputs: Sequence[PartInput], row: ContextFact) -> bool:
    return any(read_measure(row, _measure(form, one)) is not None for one in inputs)


def _measure(form: RuleForm, part: PartInput) -> Measure:
    measure = form.inputs[part.input]
    assert isinstance(measure, Measure)
    return measure


def _readings(form: RuleForm, inputs: Sequence[PartInput], context: PatientContext) -> Iterator[tuple[Reading, int]]:
    """Every usable reading of the part with its points."""
    for one in inputs:
        measure = _measure(form, one)
        for row in context.current(measure.kinds):
            reading = read_measure(row, measure)
            if reading is not None and reading.value is not None:
                yield reading, _points_of(reading, one.bands)


def _newest(name: str, found: Sequence[tuple[Reading, int]], at: int | None, hours: int) -> Scored | None:
    """The newest reading up to the moment; of readings of one moment the one with the most points."""
    if at is None:
        usable = [pair for pair in found if pair[0].elapsed is None]
    else:
        oldest = at - hours * MINUTES_PER_HOUR
        usable = [pair for pair in found if pair[0].elapsed is not None and oldest <= pair[0].elapsed <= at]
    best = max(usable, key=lambda pair: (pair[0].elapsed or 0, pair[1], pair[0].row.fact.id), default=None)
    if best is None:
        return None
    newest = best[0].elapsed
    ways = [pair for pair in usable if newest is None or pair[0].elapsed == newest]
    reading, points = max(ways, key=lambda pair: (pair[1], pair[0].row.fact.id))
    return Scored(name, points, reading)


def _points_of(reading: Reading, bands: Sequence[Band]) -> int:
    value, sign = reading.value, reading.comparator
    assert value is not None
    for band in bands:
        tests = ((band.at_least, at_least), (band.above, above), (band.at_most, at_most), (band.below, below))
        bounded = [test(value, sign, bound) for bound, test in tests if bound is not None]
        if all(bounded):
            return band.points
    return 0
