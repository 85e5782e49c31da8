"""The tables of cases that stand beside the rules, each message through the whole decision step."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest

from agents.decide.ruleset import RULES, RuleSet
from agents.decide.trial import Trial, failures, trials

ALL = RuleSet.load()
TRIALS = trials(RULES)


@pytest.mark.parametrize("trial", [pytest.param(one, id=f"{one.rule}: {one.kind}: {one.name}") for one in TRIALS])
def test_table(trial: Trial) -> None:
    """What the row of the table says is what the decision says."""
    assert failures(trial, ALL) == []


def test_every_rule_has_cases() -> None:
    """A rule without a table of cases beside it cannot be merged."""
    assert {one.rule for one in TRIALS} == {loaded.form.id for loaded in ALL.rules}


def test_a_table_that_says_otherwise_fails() -> None:
    """Wrong outcome, wrong points and a wrong limit are each named."""
    case = next(one for one in TRIALS if one.rule == "news2" and one.name == "five is urgent")
    wrong = dataclasses.replace(case, row={**case.row, "expect": {"outcome": "raised", "level": "emergency"}})
    assert failures(wrong, ALL) == ["level: expected 'emergency', got 'urgent'"]
    points = next(one for one in TRIALS if one.kind == "points")
    assert failures(dataclasses.replace(points, row={**points.row, "values": {8: 2}}), ALL) == [
        "points: expected {8: 2}, got {8: 3}"
    ]
    limit = next(one for one in TRIALS if one.kind == "boundaries" and "low" in one.row)
    assert failures(dataclasses.replace(limit, row={**limit.row, "low": float(Decimal("3.0"))}), ALL)
