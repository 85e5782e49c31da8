"""Complaints about a rule that loads but cannot be trusted: levels out of order or never reached, no citation, no cases at a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from agents.decide.form.conditions import AllOf, AnyOf, Condition, Present, Ratio, Rise, Single, Total, Value
from agents.decide.form.index import OnScore, OnTable
from agents.decide.form.rule import RuleForm
from agents.decide.ruleset import RuleSet
from agents.decide.trial import Trial

Code = Literal["form", "citation", "level-order", "unreachable", "no-cases", "level-untested", "boundary"]
_SEVERITY = {"info": 0, "warning": 1, "critical": 2}


@dataclass(frozen=True, slots=True)
class Complaint:
    rule: str
    code: Code
    detail: str


def complaints(form: RuleForm, rules: RuleSet, table: Sequence[Trial]) -> list[Complaint]:
    """Everything that is wrong with a rule that the loader accepted; ``table`` holds the trials of this rule."""
    found: list[tuple[Code, str]] = []
    if not form.citation.logic.strip() or not form.citation.url.startswith("https://"):
        found.append(("citation", "needs the name of its source and an https address"))
    for number, level in enumerate(form.levels):
        for higher in form.levels[:number]:
            if _SEVERITY[level.severity] > _SEVERITY[higher.severity]:
                found.append(("level-order", f"{level.name} is more severe than {higher.name}, which stands above it"))
            if implies(level.when, higher.when):
                found.append(("unreachable", f"{level.name}: whenever it holds, {higher.name} holds and is taken"))
    if not table:
        found.append(("no-cases", "no table of cases beside the rule"))
    else:
        found += _untested(form, table)
        found += _boundaries(form, rules, table)
    return [Complaint(form.id, code, detail) for code, detail in found]


def implies(one: Condition, other: Condition) -> bool:
    """Whether ``other`` surely holds where ``one`` does. ``False`` also where that cannot be told from the conditions alone."""
    if isinstance(one, AnyOf):
        return all(implies(part, other) for part in one.of)
    if isinstance(other, AllOf):
        return all(implies(one, part) for part in other.of)
    if isinstance(other, AnyOf) and any(implies(one, part) for part in other.of):
        return True
    if isinstance(one, AllOf):
        return any(implies(part, other) for part in one.of)
    if isinstance(one, Value) and isinstance(other, Value):
        return _within(one, other)
    if (isinstance(one, Total) and isinstance(other, Total)) or (isinstance(one, Single) and isinstance(other, Single)):
        return one.at_least >= other.at_least
    if isinstance(one, Single) and isinstance(other, Total):
        return one.at_least >= other.at_least
    if isinstance(one, Rise) and isinstance(other, Rise):
        return one.hours <= other.hours and one.at_least >= other.at_least
    if isinstance(one, Ratio) and isinstance(other, Ratio):
        same = (one.lowest_hours, one.median_hours) == (other.lowest_hours, other.median_hours)
        return same and one.at_least >= other.at_least
    if isinstance(one, Present) and isinstance(other, Present):
        return one.input == other.input and (one.at_least or Decimal(0)) >= (other.at_least or Decimal(0))
    return one == other


def _within(one: Value, other: Value) -> bool:
    for low in (one.at_least, one.above):
        if low is not None:
            if other.at_least is not None:
                return low >= other.at_least
            return other.above is not None and (low > other.above or (low == other.above and one.above is not None))
    high = one.at_most if one.at_most is not None else one.below
    if high is None:
        return False
    if other.at_most is not None:
        return high <= other.at_most
    return other.below is not None and (high < other.below or (high == other.below and one.below is not None))


def _untested(form: RuleForm, table: Sequence[Trial]) -> list[tuple[Code, str]]:
    named = {trial.row["expect"].get("level") for trial in table if trial.kind == "cases"}
    if len(form.levels) == 1 or any(trial.kind == "boundaries" for trial in table):
        named.add(form.levels[0].name)
    return [("level-untested", f"no case expects {level.name}") for level in form.levels if level.name not in named]


def _boundaries(form: RuleForm, rules: RuleSet, table: Sequence[Trial]) -> list[tuple[Code, str]]:
    found: list[tuple[Code, str]] = []
    if isinstance(form.index, OnTable):
        tried = {(t.row["code"], side) for t in table if t.kind == "boundaries" for side in ("low", "high") if side in t.row}
        for name, row in rules.limits[form.index.table].rows.items():
            for side, bound in (("low", row.low), ("high", row.high)):
                if row.enabled and bound is not None and not any((code.code, side) in tried for code in row.codes):
                    found.append(("boundary", f"{name}: the {side} limit is not tried"))
    if isinstance(form.index, OnScore):
        points = {trial.row["item"] for trial in table if trial.kind == "points"}
        found += [("boundary", f"{item.name}: its points are not tried") for item in form.index.items if item.name not in points]
    values = {
        Decimal(str(value["value"]))
        for trial in table
        if trial.kind == "cases"
        for message in trial.row["messages"]
        for value in message.get("values", ())
        if value.get("value") is not None
    }
    scores = {Decimal(str(s)) for t in table if t.kind == "cases" and (s := t.row["expect"].get("computed", {}).get("score"))}
    for level in form.levels:
        for condition in level.when.of if isinstance(level.when, AnyOf | AllOf) else (level.when,):
            if isinstance(condition, Present) and condition.at_least is not None:
                bound = condition.at_least
                if bound not in values or min(values) >= bound or max(values) <= bound:
                    found.append(("boundary", f"{level.name}: no case below, at and above {bound}"))
            if isinstance(condition, Total) and Decimal(condition.at_least) not in scores:
                found.append(("boundary", f"{level.name}: no case with a score of exactly {condition.at_least}"))
    return found
