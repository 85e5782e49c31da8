"""Drift: what the numbers of a message are, shifts that are found, and quiet where nothing changed."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from agents.feedback.drift import FEWEST, compare, features, make_baseline, shifts
from schemas.findings import Assertion
from schemas.flags import Decision
from tests.support.decide import findings, note


def message(number: int, words: str, *, negated: bool = False) -> Decision:
    rows = note(words, ("asthma", "problem", Assertion(negated=negated)), ("metformin", "medication", None))
    return Decision(id=str(number), findings=findings(number, 0, **rows))


def test_numbers_of_a_message() -> None:
    """Of the whole message; a message without a note has none, and a share of nothing is no share."""
    found = features(message(1, "asthma, metformin", negated=True))
    assert found["length"] == 17
    assert found["share of problem"] == 0.5
    assert found["negated"] == 1.0
    assert features(Decision(id="2", findings=findings(2, 0))) == {}
    assert "negated" not in features(Decision(id="3", findings=findings(3, 0, **note("nothing here"))))


def test_a_baseline_holds_numbers_alone() -> None:
    """By kind; no word of a note."""
    made = make_baseline((message(k, "asthma and metformin") for k in range(3)), "2026-01-01T00:00:00Z")
    assert made.messages == {"ORU^R01": 3}
    assert set(made.values) == {"ORU^R01"}
    assert "asthma" not in repr(made)


def draw(count: int, seed: int) -> list[float]:
    chance = random.Random(seed)
    return [chance.betavariate(8, 2) for _ in range(count)]


@pytest.mark.parametrize(
    "changed",
    [lambda x: x - 0.15, lambda x: 0.85 if x > 0.7 else x, lambda x: x * 0.7, lambda x: 0.0 if x < 0.75 else x],
    ids=["lower", "narrow", "scaled", "a part is gone"],
)
def test_a_planted_shift_is_found(changed: Callable[[float], float]) -> None:
    """Within one window of 500."""
    assert compare("k", "f", draw(2000, 1), [changed(x) for x in draw(500, 2)]).alarm


def test_the_same_is_quiet() -> None:
    """40 windows of the same distribution: none is sure and large."""
    before = draw(2000, 1)
    assert not any(compare("k", "f", before, draw(500, seed)).alarm for seed in range(2, 42))


def test_a_sure_but_small_shift_and_a_large_but_unsure_one_are_no_alarm() -> None:
    """Both are asked for."""
    before = draw(2000, 1)
    small = compare("k", "f", before, [x - 0.02 for x in draw(20_000, 3)])
    assert small.p < 1e-6
    assert not small.alarm
    few = compare("k", "f", before[:20], [x - 0.2 for x in draw(12, 3)])
    assert few.psi > 0.1
    assert not few.alarm


def test_too_few_messages_are_not_judged() -> None:
    """And a kind that the baseline does not know neither."""
    made = make_baseline((message(k, "asthma and metformin") for k in range(FEWEST)), "2026-01-01T00:00:00Z")
    assert shifts(made, {"ORU^R01": {"length": [90.0] * (FEWEST - 1)}}) == []
    assert shifts(made, {"MDM^T02": {"length": [90.0] * FEWEST}}) == []
    (found,) = shifts(made, {"ORU^R01": {"length": [90.0] * FEWEST}})
    assert found.alarm
    assert (found.before, found.now) == (20.0, 90.0)


def test_constant_values_do_not_divide_by_zero() -> None:
    """One value on both sides is no shift."""
    same = compare("k", "f", [1.0] * 300, [1.0] * 300)
    assert (same.psi, same.alarm) == (0.0, False)
