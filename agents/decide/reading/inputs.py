"""What a fact or mention means for a rule's input: its number in the canonical unit, or why there is none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from agents.decide.context import ContextFact, ContextMention, PatientContext, by_time
from agents.decide.form.base import Code, Plausible
from agents.decide.form.inputs import Asserted, Measure, Statement
from agents.decide.form.tables import LimitRow
from agents.decide.reading.drugs import code_matches
from agents.decide.reading.units import convert
from schemas.clinical import Coding, Fact
from schemas.findings import Assertion

#: A coded problem with one of these does not say that the patient has it now (FHIR condition-clinical, condition-ver-status).
_NOT_CURRENT = frozenset({"inactive", "remission", "resolved", "refuted", "provisional", "differential", "entered-in-error"})
_NEVER = frozenset({"refuted", "entered-in-error"})


@dataclass(frozen=True, slots=True)
class Reading:
    """A measured fact. ``value`` is in the canonical unit; ``None`` with ``missing``: ``value``, ``unit`` or ``plausible``."""

    row: ContextFact
    value: Decimal | None
    missing: str = ""

    @property
    def comparator(self) -> str:
        return self.row.fact.comparator

    @property
    def elapsed(self) -> int | None:
        return self.row.fact.elapsed

    @property
    def exact(self) -> bool:
        return self.value is not None and not self.comparator


def has_code(codes: tuple[Coding, ...], wanted: tuple[Code, ...], *, inferred: bool = False) -> bool:
    """Whether one of ``codes`` is wanted; codes that a vocabulary linked to text count with ``inferred`` only."""
    return any(code_matches(coding, code) for coding in codes if inferred or not coding.inferred for code in wanted)


def read_measure(row: ContextFact, measure: Measure) -> Reading | None:
    """``None`` when the fact is not this measure."""
    fact = row.fact
    if fact.kind not in measure.kinds or not has_code(fact.codes, measure.codes):
        return None
    if fact.value is None:
        answer = _answer(fact, measure.answers)
        return Reading(row, answer, "" if answer is not None else "value")
    return _reading(row, measure.analyte, measure.plausible)


def readings(
    context: PatientContext, measure: Measure, *, withdrawn: bool = False, span: tuple[int, int] | None = None
) -> list[Reading]:
    """Every fact of the record that is this measure, by time, then id; ``withdrawn`` ones only where asked, ``span``: of those minutes alone."""
    rows: Iterable[ContextFact]
    if len(measure.codes) == 1 and not measure.codes[0].pattern:
        rows = context.coded(measure.codes[0].code)
    elif any(code.pattern for code in measure.codes):
        rows = sorted(context.facts.values(), key=by_time)
    else:
        rows = sorted({row.fact.id: row for code in measure.codes for row in context.coded(code.code)}.values(), key=by_time)
    if span is not None:
        rows = [row for row in rows if row.fact.elapsed is not None and span[0] <= row.fact.elapsed <= span[1]]
    found = (read_measure(row, measure) for row in rows if withdrawn or not row.fact.retracted)
    return [reading for reading in found if reading is not None]


def read_row(row: ContextFact, limits: dict[str, LimitRow]) -> tuple[str, LimitRow, Reading] | None:
    """The enabled row of the table that has the fact's code, and the value under it."""
    for name, limit in limits.items():
        if limit.enabled and has_code(row.fact.codes, limit.codes):
            return name, limit, _reading(row, limit.analyte, limit.plausible)
    return None


def _reading(row: ContextFact, analyte: str, plausible: Plausible) -> Reading:
    if row.fact.value is None:
        return Reading(row, None, "value")
    value = convert(row.fact.value, row.fact.unit, analyte)
    if value is None:
        return Reading(row, None, "unit")
    if not plausible.low <= value <= plausible.high:
        return Reading(row, None, "plausible")
    return Reading(row, value)


def _answer(fact: Fact, answers: dict[str, Decimal]) -> Decimal | None:
    for written in (*(coding.code for coding in fact.value_codes), *(c.display for c in fact.value_codes), fact.text):
        for spelling in (written.strip(), written.strip().lower()):
            if spelling in answers:
                return answers[spelling]
    return None


def takes_fact(fact: Fact, statement: Statement) -> bool:
    """A fact of one of the statement's kinds that is not withdrawn, not denied and carries its code or one of its terms."""
    if fact.kind not in statement.facts or fact.retracted:
        return False
    if fact.status.lower() in (_NEVER if statement.past else _NOT_CURRENT):
        return False
    written = (fact.text, *(coding.display for coding in fact.codes))
    if has_term(written, statement.not_terms):
        return False
    return has_code(fact.codes, statement.codes) or has_term(written, statement.terms)


def holds_now(fact: Fact) -> bool:
    """Neither withdrawn nor with a status that denies it or puts it into the past."""
    return not fact.retracted and fact.status.lower() not in _NOT_CURRENT


def takes_mention(mention: ContextMention, statement: Statement) -> bool:
    """A mention of one of the statement's types, asserted as it wants, outside the sections that it excludes."""
    if mention.type not in statement.mentions or mention.section in statement.not_sections:
        return False
    if statement.sections and mention.section not in statement.sections:
        return False
    if not allowed(mention.assertion, statement.assertion) or has_term((mention.text,), statement.not_terms):
        return False
    return has_code(mention.codes, statement.codes, inferred=statement.inferred) or has_term((mention.text,), statement.terms)


def allowed(found: Assertion, accepted: Asserted) -> bool:
    """No axis is set that the rule does not accept."""
    return not (
        (found.negated and not accepted.negated)
        or (found.possible and not accepted.possible)
        or (found.historical and not accepted.historical)
        or (found.hypothetical and not accepted.hypothetical)
        or (found.family and not accepted.family)
    )


def has_term(texts: Iterable[str], terms: tuple[str, ...]) -> bool:
    """Whether one of the terms stands in a text, as whole words in any case."""
    if not terms:
        return False
    search = _pattern(terms).search
    return any(search(" ".join(text.lower().split())) for text in texts if text)


@lru_cache(maxsize=1024)
def _pattern(terms: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{'|'.join(re.escape(term.lower()) for term in terms)})(?!\w)")
