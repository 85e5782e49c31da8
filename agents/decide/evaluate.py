"""One rule over one patient's context: the levels that hold, with everything that a reader needs to check them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from agents.decide.cases.allergies import PairCase
from agents.decide.cases.case import Case
from agents.decide.cases.contraindications import Patient, contraindication_cases
from agents.decide.cases.evidence import Evidence
from agents.decide.cases.interactions import drug_cases
from agents.decide.cases.measures import MeasureCase, TableCase
from agents.decide.cases.scores import ScoreCase, score_cases
from agents.decide.cases.statements import StatementCase
from agents.decide.context import MINUTES_PER_HOUR, ContextFact, PatientContext, read_mentions
from agents.decide.form import (
    Allergies,
    AllOf,
    AnyOf,
    Condition,
    Conflict,
    GivenBelow,
    GivenWith,
    Level,
    Measure,
    Medications,
    OnContraindications,
    OnDrugs,
    OnMeasure,
    OnPairs,
    OnScore,
    OnStatements,
    OnTable,
    RuleForm,
    Statement,
    Together,
)
from agents.decide.reading.inputs import Reading, read_measure, read_row, takes_fact, takes_mention
from agents.decide.reading.pairs import allergens, medications
from agents.decide.ruleset import RuleSet
from schemas.findings import Findings


@dataclass(frozen=True, slots=True)
class View:
    """What a rule sees: one message and the patient's context that already holds it. ``changed`` are fact ids."""

    findings: Findings
    context: PatientContext
    changed: frozenset[str]

    @property
    def now(self) -> int | None:
        """The message's own time, so that a replay sees what the first run saw."""
        return self.context.clock if self.findings.elapsed is None else self.findings.elapsed

    @property
    def age_years(self) -> int | None:
        return self.context.age_years if self.findings.age_years is None else self.findings.age_years

    @property
    def sex(self) -> str:
        return self.findings.sex or self.context.sex


@dataclass(frozen=True, slots=True)
class Hit:
    """``rank`` counts levels from the lowest (1); ``key`` tells hits of one rule apart; ``stale``: too old to be raised."""

    level: Level
    rank: int
    key: str
    elapsed: int | None
    evidence: Evidence
    stale: bool


@dataclass(frozen=True, slots=True)
class Passed:
    """At ``elapsed`` no level held any more for the flags of ``key``; ``rows`` are what was looked at, ``value`` the number
    of a series in its canonical unit."""

    key: str
    elapsed: int
    rows: tuple[ContextFact, ...]
    value: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """``outcome`` in a word where nothing hit: ``clear``, ``no_input``, ``not_applicable:age`` or ``missing:<what>``.

    ``passed``: the latest of each key, only where nothing of that key hit at that time or later.
    """

    hits: tuple[Hit, ...]
    outcome: str
    passed: tuple[Passed, ...] = ()


def evaluate(form: RuleForm, rules: RuleSet, view: View) -> Verdict:
    """The highest hit of each key among all indexes that the message touches."""
    applies = form.applies
    age = view.age_years
    if age is None:
        if applies.unknown_age == "skip":
            return Verdict((), "not_applicable:age")
    elif age < applies.min_age_years or (applies.max_age_years is not None and age > applies.max_age_years):
        return Verdict((), "not_applicable:age")
    for name in applies.not_with:
        if _stated(form, name, view):
            return Verdict((), f"not_applicable:{name}")
    best: dict[str, Hit] = {}
    passed: dict[str, Passed] = {}
    held: dict[str, int] = {}
    missing: set[str] = set()
    seen = False
    for case in _cases(form, rules, view):
        seen = True
        for number, level in enumerate(form.levels):
            evidence = _holds(level.when, case)
            if evidence is not None:
                hit = Hit(level, len(form.levels) - number, case.key(form.suppress.by, evidence), case.elapsed, evidence,
                          _stale(case.elapsed, view.now, form.staleness_hours))  # fmt: skip
                known = best.get(hit.key)
                if known is None or _order(hit) > _order(known):
                    best[hit.key] = hit
                if case.elapsed is not None:
                    held[hit.key] = max(case.elapsed, held.get(hit.key, case.elapsed))
                break
        else:
            for one in _passed(form, case):
                if one.key not in passed or one.elapsed > passed[one.key].elapsed:
                    passed[one.key] = one
        if case.counts:
            missing |= case.missing
    outcome = "missing:" + ",".join(sorted(missing)) if missing else "clear" if seen else "no_input"
    over = tuple(passed[key] for key in sorted(passed) if key not in held or passed[key].elapsed > held[key])
    return Verdict(tuple(best[key] for key in sorted(best)), outcome, over)


def _passed(form: RuleForm, case: Case) -> tuple[Passed, ...]:
    if form.resolve is None or case.elapsed is None or not isinstance(case, MeasureCase | TableCase | ScoreCase):
        return ()
    # A value back under the flag's own baseline needs no other beside it; everything else is known only where nothing is missing.
    if case.missing and form.resolve.ratio_below is None:
        return ()
    value = case.reading.value if isinstance(case, MeasureCase) else None
    return tuple(Passed(key, case.elapsed, case.rows, value) for key in case.cleared(form.suppress.by))


def _stated(form: RuleForm, name: str, view: View) -> bool:
    """Whether the patient's record, or this message's text, holds the statement."""
    source = form.inputs[name]
    assert isinstance(source, Statement)
    if any(takes_fact(row.fact, source) for row in view.context.facts.values()):
        return True
    return any(takes_mention(mention, source) for mention in read_mentions(view.findings, source.mentions))


def _order(hit: Hit) -> tuple[bool, int, int]:
    return not hit.stale, hit.rank, -(2**62) if hit.elapsed is None else hit.elapsed


def _stale(elapsed: int | None, now: int | None, hours: int) -> bool:
    return elapsed is not None and now is not None and elapsed < now - hours * MINUTES_PER_HOUR


def _holds(condition: Condition, case: Case) -> Evidence | None:
    """The evidence of every part that holds, so that the flag shows all of its grounds."""
    if isinstance(condition, AnyOf):
        found = [evidence for one in condition.of if (evidence := _holds(one, case)) is not None]
        return Evidence.joined(found) if found else None
    if isinstance(condition, AllOf):
        parts = [_holds(one, case) for one in condition.of]
        held = [evidence for evidence in parts if evidence is not None]
        return Evidence.joined(held) if len(held) == len(parts) else None
    return case.test(condition)


def _cases(form: RuleForm, rules: RuleSet, view: View) -> Iterator[Case]:
    index = form.index
    if isinstance(index, OnScore):
        named = {name for item in index.items for name in (item.only_with, item.not_with) if name}
        stated = frozenset(name for name in named if _stated(form, name, view))
        types = {kind for source in form.inputs.values() if isinstance(source, Statement) for kind in source.mentions}
        yield from score_cases(form, index, view.context, view.changed, stated, read_mentions(view.findings, types))
    elif isinstance(index, OnContraindications):
        given = form.inputs[index.medications]
        assert isinstance(given, Medications)
        lexicon = rules.drugs[_drug_table(form)]
        types = {kind for source in form.inputs.values() if isinstance(source, Statement) for kind in source.mentions}
        patient = Patient(view.context, read_mentions(view.findings, types), view.now, view.age_years, view.sex)
        touched = view.changed | {mention.id for mention in view.findings.mentions}
        yield from contraindication_cases(
            form, index, medications(view.context, given, lexicon, view.now), patient, touched, lexicon
        )
    elif isinstance(index, OnDrugs):
        yield from _drug_cases(form, index, rules, view)
    elif isinstance(index, OnMeasure):
        measure = form.inputs[index.input]
        assert isinstance(measure, Measure)
        yield from _measure_cases(measure, index, form.staleness_hours, view)
    elif isinstance(index, OnTable):
        table = rules.limits[index.table]
        for row in view.context.current(("lab", "vital", "score")):
            if row.fact.id in view.changed:
                found = read_row(row, table.rows)
                yield TableCase(*found) if found else TableCase("", None, Reading(row, None, ""))
    elif isinstance(index, OnStatements):
        yield from _statement_cases(form, index, view)
    else:
        yield from _pair_cases(form, index, rules, view)


def _measure_cases(measure: Measure, index: OnMeasure, staleness_hours: int, view: View) -> Iterator[Case]:
    touched = [
        row.fact.elapsed
        for key in view.changed
        if (row := view.context.facts.get(key)) is not None and read_measure(row, measure) is not None
    ]
    times = [time for time in touched if time is not None]
    if not touched:
        return
    # Values that are not stale are asked again: when a later one is corrected away, the flag falls back to them.
    corrected = any(view.changed.intersection(flag.refs) for flag in view.context.raised.values())
    fresh = [view.now - staleness_hours * MINUTES_PER_HOUR] if corrected and view.now is not None else []
    readings = [r for row in view.context.current(measure.kinds) if (r := read_measure(row, measure)) is not None]
    latest = max((r.elapsed for r in readings if r.elapsed is not None), default=None)
    for reading in readings:
        if reading.elapsed is None:
            if reading.row.fact.id in view.changed:
                yield MeasureCase(Reading(reading.row, None, reading.missing or "time"), measure, [])
        elif times and min(times + fresh) <= reading.elapsed <= max(times) + index.reach_hours * MINUTES_PER_HOUR:
            earlier = [r for r in readings if r.elapsed is not None and r.elapsed < reading.elapsed]
            yield MeasureCase(reading, measure, earlier, counts=reading.elapsed == latest, age_years=view.age_years, sex=view.sex)


def _statement_cases(form: RuleForm, index: OnStatements, view: View) -> Iterator[Case]:
    facts = [view.context.facts[key] for key in sorted(view.changed)]
    for name in index.inputs:
        source = form.inputs[name]
        if isinstance(source, Measure):
            for row in facts:
                reading = None if row.fact.retracted else read_measure(row, source)
                if reading is not None:
                    yield StatementCase(name, reading=reading, measure=source)
        elif isinstance(source, Statement):
            for row in facts:
                if takes_fact(row.fact, source):
                    yield StatementCase(name, fact=row)
            for mention in read_mentions(view.findings, source.mentions):
                if takes_mention(mention, source):
                    yield StatementCase(name, mention=mention)


def _pair_cases(form: RuleForm, index: OnPairs, rules: RuleSet, view: View) -> Iterator[Case]:
    given_form, allergy_form = form.inputs[index.medications], form.inputs[index.allergies]
    assert isinstance(given_form, Medications)
    assert isinstance(allergy_form, Allergies)
    lexicon = rules.drugs[_drug_table(form)]
    touched = view.changed | {mention.id for mention in view.findings.mentions}
    if not touched:
        return
    given = medications(view.context, given_form, lexicon, view.now)
    known = allergens(view.context, allergy_form, lexicon)
    for medication in given:
        for allergy in known:
            if medication.ref in touched or allergy.ref in touched:
                yield PairCase(medication, allergy, lexicon.conflict(medication.substance, allergy.substance))


def _drug_cases(form: RuleForm, index: OnDrugs, rules: RuleSet, view: View) -> Iterator[Case]:
    given_form = form.inputs[index.medications]
    assert isinstance(given_form, Medications)
    touched = view.changed | {mention.id for mention in view.findings.mentions}
    if touched:
        lexicon = rules.drugs[_drug_table(form)]
        yield from drug_cases(medications(view.context, given_form, lexicon, view.now), touched, lexicon)


def _drug_table(form: RuleForm) -> str:
    pending = [level.when for level in form.levels]
    while pending:
        condition = pending.pop()
        if isinstance(condition, Conflict | Together | GivenWith | GivenBelow):
            return condition.table
        if isinstance(condition, AnyOf | AllOf):
            pending.extend(condition.of)
    raise LookupError(form.id)
