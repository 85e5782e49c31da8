"""What a flag says would clear it does, and one step of the sender's precision back it fires."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.decide.context import PatientContext
from agents.decide.ruleset import RuleSet
from agents.decide.step import Decider
from schemas.clinical import Fact
from schemas.findings import Findings
from schemas.flags import Decision
from tests.support.decide import HOUR, creatinine, findings, lab

DECIDER = Decider(RuleSet.load())


def decided(stream: list[Findings]) -> Decision:
    """The decision on the last message."""
    context = PatientContext()
    for one in stream:
        decision, context = DECIDER.decide(one, context)
    return decision


def fires(stream: list[Findings], rule: str, ref: str, value: Decimal) -> bool:
    """Whether the rule finds something, raised anew or not, when the last message says ``value``."""
    *before, last = stream
    facts = tuple(msgspec.structs.replace(f, value=value, comparator="") if f.id == ref else f for f in last.facts)
    outcome = decided([*before, msgspec.structs.replace(last, facts=facts)]).evaluated[rule]
    return "raised" in outcome or "suppressed" in outcome


def check(stream: list[Findings]) -> int:
    """How many bounds were stated for values of the last message; all of them hold."""
    checked = 0
    values = {f.id: f.value for f in stream[-1].facts if f.value is not None}
    for flag in decided(stream).flags:
        for row in flag.basis.clearings:
            if row.ref not in values:
                continue
            value = values[row.ref]
            step = Decimal(1).scaleb(min(0, int(value.as_tuple().exponent)))
            down = row.at_most is not None and row.at_most < value
            bound = row.at_most if down else row.at_least
            assert bound is not None
            assert not fires(stream, flag.rule.id, row.ref, bound)
            assert fires(stream, flag.rule.id, row.ref, bound + step if down else bound - step)
            checked += 1
    return checked


def decimals(low: int, high: int) -> st.SearchStrategy[Decimal]:
    return st.integers(low, high).map(lambda n: Decimal(n).scaleb(-2))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(decimals(50, 400), st.integers(0, 300)), min_size=1, max_size=4), decimals(50, 900))
def test_creatinine_at_the_stated_bound_is_no_kidney_injury(earlier: list[tuple[Decimal, int]], last: Decimal) -> None:
    facts: list[Fact] = [creatinine(f"e{k}", str(value), hour * HOUR) for k, (value, hour) in enumerate(earlier)]
    stream = [findings(0, 300 * HOUR, *facts), findings(1, 310 * HOUR, creatinine("last", str(last), 310 * HOUR))]
    check(stream)


@settings(max_examples=40, deadline=None)
@given(st.integers(10, 99).map(lambda n: str(Decimal(n).scaleb(-1))))
def test_potassium_in_the_stated_range_is_not_critical(value: str) -> None:
    fact = lab("k", "2823-3", value, "mmol/L", 0)
    stream = [findings(0, 0, fact)]
    flags = decided(stream).flags
    assert check(stream) == len(flags)
    for flag in flags:
        for row in flag.basis.clearings:
            assert None not in (row.at_least, row.at_most)  # too low is critical as well as too high


@pytest.mark.parametrize(("last", "bound"), [("1.80", "1.29"), ("3.2", "1.2")])
def test_the_bound_has_the_precision_of_the_sender(last: str, bound: str) -> None:
    """0.3 mg/dL above the lowest of 48 h fires; what was written in tenths is told in tenths."""
    stream = [findings(0, 0, creatinine("a", "1.0", 0)), findings(1, 24 * HOUR, creatinine("b", last, 24 * HOUR))]
    (flag,) = [f for f in decided(stream).flags if f.type == "aki.kdigo"]
    assert [(row.ref, row.at_least, row.at_most) for row in flag.basis.clearings] == [("b", None, Decimal(bound))]
    assert check(stream) == 1


def test_a_score_names_each_input_that_alone_would_clear_it() -> None:
    """Three points for breathing alone flag; slower than 9 a minute would have three as well."""
    vitals = [("rr", "9279-1", "25", "/min"), ("hr", "8867-4", "80", "/min"), ("temp", "8310-5", "99.0", "[degF]")]
    stream = [findings(0, 0, *(lab(name, code, value, unit, 0, kind="vital") for name, code, value, unit in vitals))]
    (flag,) = [f for f in decided(stream).flags if f.type == "news2"]
    assert [(row.ref, row.at_least, row.at_most) for row in flag.basis.clearings] == [("rr", Decimal(9), Decimal(24))]
    assert check(stream) >= 1


def test_an_alert_of_the_laboratory_is_not_cleared_by_a_number() -> None:
    """The laboratory's own mark stands whatever the number is."""
    stream = [findings(0, 0, lab("k", "2823-3", "7.1", "mmol/L", 0, interpretation=("HH",)))]
    (flag,) = decided(stream).flags
    assert flag.basis.clearings == ()


def test_a_long_stay_tells_the_same() -> None:
    """Old vital signs are left out of the tries; what they tell stays the same."""
    bad = [
        lab("rr", "9279-1", "23", "/min", 100 * HOUR, kind="vital"),
        lab("bp", "8480-6", "95", "mm[Hg]", 100 * HOUR, kind="vital"),
    ]
    stay = [findings(n, n * HOUR, lab(f"old{n}", "9279-1", "16", "/min", n * HOUR, kind="vital")) for n in range(90)]
    last = findings(100, 100 * HOUR, *bad)
    told = [[(f.type, f.basis.clearings) for f in decided(stream).flags] for stream in ([last], [*stay, last])]
    assert told[0] == told[1]
    assert any(rows for _, rows in told[0])
    assert check([*stay, last]) >= 2
