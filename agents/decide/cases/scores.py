"""Scores of bedside measures (NEWS2, qSOFA, SIRS): points of each item's latest value at each time that a message changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from agents.decide.cases.case import By
from agents.decide.cases.evidence import Evidence
from agents.decide.cases.patient import Patient
from agents.decide.context import MINUTES_PER_HOUR, ContextFact, ContextMention, PatientContext
from agents.decide.form.conditions import Condition, Single, Stated, Total
from agents.decide.form.index import Band, Item, OnScore, Part
from agents.decide.form.inputs import Measure, Statement
from agents.decide.form.rule import RuleForm
from agents.decide.reading.inputs import Reading, read_measure
from agents.decide.reading.inputs import readings as series


@dataclass(frozen=True, slots=True)
class Scored:
    """An item's points and the readings looked at; ``points`` is ``None`` where no part has a value, ``missing`` says what it lacked."""

    item: Item
    points: int | None
    rows: tuple[ContextFact, ...]


@dataclass(slots=True)
class ScoreCase:
    """The score at one time. ``missing`` names items without a value: a total that is not reached is then not known to be clear."""

    at: int
    scored: tuple[Scored, ...]
    form: RuleForm
    context: PatientContext
    mentions: Sequence[ContextMention] = ()
    counts: bool = True
    missing: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.missing.update(row.item.name for row in self.scored if row.points is None)

    @property
    def elapsed(self) -> int | None:
        return self.at

    def test(self, condition: Condition) -> Evidence | None:
        total = sum(row.points or 0 for row in self.scored)
        if isinstance(condition, Total):
            return self._evidence(total, "score at least", condition.at_least) if total >= condition.at_least else None
        if isinstance(condition, Single):
            highest = max(row.points or 0 for row in self.scored)
            return self._evidence(total, "single item at least", condition.at_least) if highest >= condition.at_least else None
        if isinstance(condition, Stated):
            return self._stated(condition)
        raise TypeError(type(condition).__name__)

    def _stated(self, condition: Stated) -> Evidence | None:
        statement = self.form.inputs[condition.input]
        assert isinstance(statement, Statement)
        return Patient(self.context, self.mentions, self.at, None, "").stated(statement, condition.hours)

    def key(self, by: By, evidence: Evidence) -> str:
        return ""

    def cleared(self, by: By) -> tuple[str, ...]:
        """The one key that a score has; ``missing`` says whether it is known to have passed."""
        return ("",)

    @property
    def rows(self) -> tuple[ContextFact, ...]:
        return tuple({fact.fact.id: fact for row in self.scored for fact in row.rows}.values())

    def _evidence(self, total: int, name: str, bound: int) -> Evidence:
        points = {row.item.name: Decimal(row.points) for row in self.scored if row.points is not None}
        return Evidence(
            self.rows,
            computed={"score": Decimal(total), **points},
            thresholds={name: Decimal(bound)},
            words={"score": str(total)},
            missing=tuple(sorted(self.missing)),
        )


def score_cases(
    form: RuleForm,
    index: OnScore,
    context: PatientContext,
    changed: frozenset[str],
    stated: frozenset[str],
    mentions: Sequence[ContextMention],
) -> Iterator[ScoreCase]:
    """The score at each time from a changed measure until that measure no longer counts; ``stated``: statements that the record holds;
    ``mentions``: of this message."""
    items = [item for item in index.items if (not item.only_with or item.only_with in stated) and item.not_with not in stated]
    spans: list[tuple[int, int]] = []
    fresh = [row for key in changed if (row := context.facts.get(key)) is not None and row.fact.elapsed is not None]
    for item in items:
        for part in item.parts:
            starts = [row.fact.elapsed or 0 for row in fresh if read_measure(row, _measure(form, part)) is not None]
            spans += [(start, start + item.hours * MINUTES_PER_HOUR) for start in starts]
    if not spans:
        return
    reach = max(item.hours for item in items) * MINUTES_PER_HOUR
    near = (min(start for start, _ in spans) - reach, max(end for _, end in spans))
    parts = {part.input: part for item in items for part in item.parts}
    readings = {name: series(context, _measure(form, part), span=near) for name, part in parts.items()}
    times = {r.elapsed or 0 for rows in readings.values() for r in rows} | {start for start, _ in spans}
    touched = sorted(at for at in times if any(start <= at <= end for start, end in spans))
    for at in touched:
        yield ScoreCase(at, _scored(items, readings, at), form, context, mentions, counts=at == touched[-1])


def _measure(form: RuleForm, part: Part) -> Measure:
    measure = form.inputs[part.input]
    assert isinstance(measure, Measure)
    return measure


def _scored(items: Iterable[Item], readings: dict[str, list[Reading]], at: int) -> tuple[Scored, ...]:
    """Items in their order; a band with ``with_item`` looks at points of the whole score, so those come from a first pass."""
    positive: set[str] = set()
    made: tuple[Scored, ...] = ()
    for _ in range(2):
        made = tuple(_item(item, readings, at, positive) for item in items)
        positive = {row.item.name for row in made if row.points}
    return made


def _item(item: Item, readings: dict[str, list[Reading]], at: int, positive: set[str]) -> Scored:
    points: list[int] = []
    rows: list[ContextFact] = []
    oldest = at - item.hours * MINUTES_PER_HOUR
    for part in item.parts:
        window = [r for r in readings[part.input] if r.exact and oldest <= (r.elapsed or 0) <= at]
        if window:
            latest = max(window, key=lambda r: (r.elapsed or 0, r.row.fact.id))
            assert latest.value is not None
            rows.append(latest.row)
            points.append(max((b.points for b in part.bands if _inside(latest.value, b, positive)), default=0))
    return Scored(item, max(points) if points else None, tuple(rows))


def _inside(value: Decimal, band: Band, positive: set[str]) -> bool:
    return (
        (not band.with_item or band.with_item in positive)
        and (band.at_least is None or value >= band.at_least)
        and (band.above is None or value > band.above)
        and (band.at_most is None or value <= band.at_most)
        and (band.below is None or value < band.below)
    )
