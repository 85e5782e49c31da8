"""One rule over one patient's context: the levels that hold, with everything that a reader needs to check them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from agents.decide.cases.case import Case
from agents.decide.cases.evidence import Evidence
from agents.decide.cases.index import cases_of, stated
from agents.decide.cases.measures import MeasureCase, TableCase
from agents.decide.cases.scores import ScoreCase
from agents.decide.context import MINUTES_PER_HOUR, ContextFact
from agents.decide.form.conditions import AllOf, AnyOf, Condition, NoneOf
from agents.decide.form.rule import Level, RuleForm
from agents.decide.ruleset import RuleSet
from agents.decide.view import View


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
        if stated(form, name, view):
            return Verdict((), f"not_applicable:{name}")
    best: dict[str, Hit] = {}
    passed: dict[str, Passed] = {}
    held: dict[str, int] = {}
    missing: set[str] = set()
    seen = False
    for case in cases_of(form, rules, view):
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
    if isinstance(condition, NoneOf):
        return None if any(_holds(one, case) is not None for one in condition.of) else Evidence()
    return case.test(condition)
