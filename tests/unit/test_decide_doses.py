"""What a dose and a frequency, as notes write them, come to in a day; unknown rather than guessed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.decide.reading.doses import daily_mg


@pytest.mark.parametrize(
    ("doses", "often", "expected"),
    [
        (["500 mg"], ["BID"], "1000"),
        (["500mg"], ["b.i.d."], "1000"),
        (["1 g"], ["q8h"], "3000"),
        (["1,000 mg"], ["every 6 hours"], "4000"),
        (["650-1000 mg"], ["q4-6h prn"], "6000"),
        (["325 mg to 650 mg"], ["q 6 hrs"], "2600"),
        (["100 mcg"], ["daily"], "0.100"),
        (["50 mg", "2 tablets"], ["QID"], "400"),
        (["50 mg", "1-2 tabs"], ["three times a day"], "300"),
        (["two 500 mg tablets"], ["twice daily"], "1000"),
        (["25 mg", "half tablet"], ["at bedtime"], "12.5"),
        (["2000 mg/day"], [], "2000"),
        (["2 g daily"], [], "2000"),
        (["40 mg"], ["nightly"], "40"),
        (["40 mg"], ["4 times per day"], "160"),
        (["40 mg"], ["3x/day"], "120"),
        (["40 mg"], ["q.d."], "40"),
    ],
)
def test_read(doses: list[str], often: list[str], expected: str) -> None:
    """The most that the words allow in a day."""
    assert daily_mg(doses, often) == Decimal(expected)


@pytest.mark.parametrize(
    ("doses", "often"),
    [
        (["500 mg"], []),
        (["500 mg"], ["as directed"]),
        (["500 mg"], ["weekly"]),
        (["500 mg"], ["every other day"]),
        (["500 mg"], ["BID", "TID"]),
        (["500 mg", "250 mg"], ["BID"]),
        (["10 mg/kg"], ["q6h"]),
        (["5 mg/mL"], ["daily"]),
        (["20 mg/h"], []),
        (["2 tablets"], ["BID"]),
        (["10 units"], ["daily"]),
        (["800-160 mg 400-80 mg"], ["BID"]),
        (["500 mg"], ["q0h"]),
    ],
)
def test_unknown(doses: list[str], often: list[str]) -> None:
    """Without a frequency, by weight, with two masses, in other units: nothing is known."""
    assert daily_mg(doses, often) is None


@given(st.text(max_size=60), st.text(max_size=40))
def test_any_words(dose: str, often: str) -> None:
    """Whatever stands there, an answer is a positive number or none."""
    found = daily_mg([dose], [often])
    assert found is None or found >= 0
