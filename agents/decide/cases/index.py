"""From a rule's index to the cases that one message gives it."""

from __future__ import annotations

from collections.abc import Iterator

from agents.decide.cases.allergies import PairCase
from agents.decide.cases.case import Case
from agents.decide.cases.contraindications import contraindication_cases
from agents.decide.cases.doses import dose_cases
from agents.decide.cases.filtration import filtration_cases
from agents.decide.cases.interactions import drug_cases
from agents.decide.cases.measures import MeasureCase, TableCase
from agents.decide.cases.patient import Patient
from agents.decide.cases.record import allergen_cases, denial_cases
from agents.decide.cases.scores import score_cases
from agents.decide.cases.statements import StatementCase
from agents.decide.context import MINUTES_PER_HOUR, read_mentions
from agents.decide.form.index import (
    OnAllergens,
    OnContraindications,
    OnDenials,
    OnDoses,
    OnDrugs,
    OnFiltration,
    OnMeasure,
    OnPairs,
    OnScore,
    OnStatements,
    OnTable,
)
from agents.decide.form.inputs import Allergies, Measure, Medications, Statement
from agents.decide.form.rule import RuleForm, conditions
from agents.decide.reading.inputs import Reading, read_measure, read_row, readings, takes_fact, takes_mention
from agents.decide.reading.pairs import allergens, medications
from agents.decide.ruleset import FROM_DRUGS, RuleSet
from agents.decide.view import View
from schemas.findings import MENTION_TYPES


def stated(form: RuleForm, name: str, view: View) -> bool:
    """Whether the patient's record, or this message's text, holds the statement."""
    source = form.inputs[name]
    assert isinstance(source, Statement)
    if any(takes_fact(row.fact, source) for row in view.context.current(source.facts)):
        return True
    return any(takes_mention(mention, source) for mention in read_mentions(view.findings, source.mentions))


def cases_of(form: RuleForm, rules: RuleSet, view: View) -> Iterator[Case]:
    index = form.index
    if isinstance(index, OnScore):
        named = {name for item in index.items for name in (item.only_with, item.not_with) if name}
        held = frozenset(name for name in named if stated(form, name, view))
        types = {kind for source in form.inputs.values() if isinstance(source, Statement) for kind in source.mentions}
        yield from score_cases(form, index, view.context, view.changed, held, read_mentions(view.findings, types))
    elif isinstance(index, OnContraindications):
        given = form.inputs[index.medications]
        assert isinstance(given, Medications)
        lexicon = rules.drugs[_drug_table(form)]
        patient = _patient(form, view)
        touched = view.changed | {mention.id for mention in view.findings.mentions}
        yield from contraindication_cases(
            form, index, medications(view.context, given, lexicon, view.now), patient, touched, lexicon
        )
    elif isinstance(index, OnDrugs):
        yield from _drug_cases(form, index, rules, view)
    elif isinstance(index, OnDoses | OnAllergens | OnDenials):
        yield from _note_cases(form, index, rules, view)
    elif isinstance(index, OnMeasure):
        for name in index.measures:
            measure = form.inputs[name]
            assert isinstance(measure, Measure)
            yield from _measure_cases(measure, index, form.staleness_hours, view)
    elif isinstance(index, OnFiltration):
        yield from filtration_cases(form, index, _patient(form, view), view.changed)
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
    rows = [view.context.facts[key] for key in view.changed if key in view.context.facts]
    own = {row.fact.id for row in rows if read_measure(row, measure) is not None}
    touched = [row.fact.elapsed for row in rows if row.fact.id in own]
    times = [time for time in touched if time is not None]
    if not touched:
        return
    # Values that are not stale are asked again: when a later one is corrected away, the flag falls back to them.
    corrected = any(not own.isdisjoint(flag.refs) for flag in view.context.raised.values())
    fresh = [view.now - staleness_hours * MINUTES_PER_HOUR] if corrected and view.now is not None else []
    series = readings(view.context, measure)
    latest = max((r.elapsed for r in series if r.elapsed is not None), default=None)
    for reading in series:
        if reading.elapsed is None:
            if reading.row.fact.id in view.changed:
                yield MeasureCase(Reading(reading.row, None, reading.missing or "time"), measure, [])
        elif times and min(times + fresh) <= reading.elapsed <= max(times) + index.reach_hours * MINUTES_PER_HOUR:
            earlier = [r for r in series if r.elapsed is not None and r.elapsed < reading.elapsed]
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
        yield from drug_cases(
            form, medications(view.context, given_form, lexicon, view.now), _patient(form, view), touched, lexicon
        )


def _note_cases(form: RuleForm, index: OnDoses | OnAllergens | OnDenials, rules: RuleSet, view: View) -> Iterator[Case]:
    lexicon = rules.drugs[_drug_table(form)]
    mentions = read_mentions(view.findings, MENTION_TYPES)
    if isinstance(index, OnAllergens):
        allergy_form = form.inputs[index.allergies]
        assert isinstance(allergy_form, Allergies)
        yield from allergen_cases(allergens(view.context, allergy_form, lexicon), mentions, view.context, lexicon)
        return
    given_form = form.inputs[index.medications]
    assert isinstance(given_form, Medications)
    given = medications(view.context, given_form, lexicon, view.now)
    if isinstance(index, OnDoses):
        yield from dose_cases(given, mentions, view.findings.relations, view.changed, lexicon)
    else:
        known = allergens(view.context, Allergies(), lexicon)
        yield from denial_cases(view.findings, mentions, view.context, given, known, lexicon)


def _patient(form: RuleForm, view: View) -> Patient:
    types = {kind for source in form.inputs.values() if isinstance(source, Statement) for kind in source.mentions}
    return Patient(view.context, read_mentions(view.findings, types), view.now, view.age_years, view.sex)


def _drug_table(form: RuleForm) -> str:
    return next(one.table for one in conditions(form) if isinstance(one, FROM_DRUGS))
