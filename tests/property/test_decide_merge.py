"""Properties of the context and the decision step over many orders of arrival."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.decide.cases.scores import score_cases
from agents.decide.context import PatientContext, merge
from agents.decide.form.index import OnScore
from agents.decide.joining import join
from agents.decide.ruleset import RuleSet
from agents.decide.step import Decider
from schemas.clinical import Fact
from schemas.findings import Findings
from tests.support.decide import HOUR, creatinine, findings, lab

DECIDER = Decider(RuleSet.load())


@st.composite
def facts(draw: st.DrawFn) -> Fact:
    value = draw(st.sampled_from(["0.4", "0.9", "1.0", "1.3", "2.0", "3.1", "9.0"]))
    make = draw(st.sampled_from([creatinine, lambda name, text, at, **rest: lab(name, "2823-3", text, "mmol/L", at, **rest)]))
    return make(
        draw(st.sampled_from("abcd")),
        value,
        draw(st.integers(0, 72)) * HOUR,
        version=draw(st.integers(1, 3)),
        retracted=draw(st.booleans()),
    )


@st.composite
def messages(draw: st.DrawFn) -> list[Findings]:
    rows = draw(st.lists(st.lists(facts(), max_size=3), min_size=1, max_size=5))
    return [findings(number, draw(st.integers(0, 96)) * HOUR, *row) for number, row in enumerate(rows)]


@settings(max_examples=60, deadline=None)
@given(st.data(), messages())
def test_facts_do_not_depend_on_the_order_of_arrival(data: st.DataObject, stream: list[Findings]) -> None:
    """Whatever comes first, the same facts stand in the end."""
    other = data.draw(st.permutations(stream))
    ends = []
    for order in (stream, other):
        context = PatientContext()
        for one in order:
            context = merge(context, one)
        ends.append({key: row.fact for key, row in context.facts.items()})
    assert ends[0] == ends[1]


@settings(max_examples=60, deadline=None)
@given(messages())
def test_merging_a_message_twice_changes_nothing(stream: list[Findings]) -> None:
    """Redelivery leaves the context as it was."""
    context = PatientContext()
    for one in stream:
        context = merge(context, one)
        assert merge(context, one) == context


@settings(max_examples=60, deadline=None)
@given(messages())
def test_the_same_stream_gives_the_same_bytes(stream: list[Findings]) -> None:
    """No clock, no randomness: two runs over one stream are equal to the byte, and a context survives being stored."""
    runs = []
    for stored in (False, True):
        context, out = PatientContext(), []
        for one in stream:
            decision, context = DECIDER.decide(one, context)
            if stored:
                context = msgspec.msgpack.decode(msgspec.msgpack.encode(context), type=PatientContext)
            out.append(msgspec.json.encode(decision, order="deterministic"))
        runs.append(out)
    assert runs[0] == runs[1]


@settings(max_examples=60, deadline=None)
@given(messages())
def test_a_flag_supersedes_only_what_was_raised(stream: list[Findings]) -> None:
    """Replacements and withdrawals point at an earlier flag of this patient, and no id is used twice."""
    context, known = PatientContext(), set()
    for one in stream:
        decision, context = DECIDER.decide(one, context)
        for flag in decision.flags:
            assert not flag.supersedes or flag.supersedes in known
            assert flag.supersedes or not flag.withdrawn
            assert flag.id not in known
            assert len(flag.summary) <= 140
            known.add(flag.id)


@settings(max_examples=60, deadline=None)
@given(messages(), messages(), st.integers(-500, 500))
def test_a_joined_context_is_joined_once(left: list[Findings], right: list[Findings], hours: int) -> None:
    """Facts of both stand on the survivor's clock; joining what is left (nothing) and moving by nothing change nothing."""
    survivor, retired = PatientContext(), PatientContext()
    for one in left:
        survivor = merge(survivor, one)
    for one in right:
        retired = merge(retired, one)
    joined = join(survivor, retired, hours * HOUR)
    assert set(joined.facts) == set(survivor.facts) | set(retired.facts)
    for key in retired.facts.keys() - survivor.facts.keys():
        assert joined.facts[key].fact.elapsed == (retired.facts[key].fact.elapsed or 0) + hours * HOUR
    assert join(joined, PatientContext(), hours * HOUR) == joined
    assert join(PatientContext(), survivor, 0).facts == survivor.facts


@st.composite
def vitals(draw: st.DrawFn) -> list[Findings]:
    rows = []
    for number in range(draw(st.integers(1, 5))):
        code, values, unit = draw(
            st.sampled_from(
                [("9279-1", "8 16 22 25", "/min"), ("8867-4", "70 95 131", "/min"), ("8480-6", "90 120", "mm[Hg]")],
            )
        )
        at = number * HOUR
        value = draw(st.sampled_from(values.split()))
        rows.append(findings(number, at, lab(f"v{number}", code, value, unit, at, kind="vital")))
    return rows


@settings(max_examples=80, deadline=None)
@given(st.data(), vitals())
def test_a_score_at_a_time_does_not_depend_on_arrival(data: st.DataObject, stream: list[Findings]) -> None:
    """With all values there, the score at each time is the same whichever came first."""
    [rule] = [loaded.form for loaded in RuleSet.load().rules if loaded.form.id == "news2"]
    assert isinstance(rule.index, OnScore)
    ends = []
    for order in (stream, data.draw(st.permutations(stream))):
        context = PatientContext()
        for one in order:
            context = merge(context, one)
        cases = score_cases(rule, rule.index, context, frozenset(context.facts), frozenset(), ())
        ends.append([(case.at, [(row.item.name, row.points) for row in case.scored]) for case in cases])
    assert ends[0] == ends[1]
    assert ends[0]
