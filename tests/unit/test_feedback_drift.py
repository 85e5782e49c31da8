"""Drift: what the numbers of a message are, shifts that are found, quiet where nothing changed, and when an alarm begins and ends."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.extract.sections import headings
from agents.feedback import drift
from agents.feedback.drift import (
    FEWEST,
    Baseline,
    Counts,
    Group,
    Histogram,
    add,
    binned,
    compare,
    groups_of,
    make_baseline,
    shifts,
    total,
)
from agents.feedback.features import CONFIDENCE, FEATURES, LENGTH, SECTIONS, UNKNOWN, bins_of, features, words_of
from agents.feedback.vocabulary import known_words
from agents.feedback.watch import BLOCKS, FEWEST_MESSAGES, STEP, State, judge
from schemas.findings import Assertion
from schemas.flags import Decision
from streams.settings import Models
from tests.support.decide import findings, note
from tests.support.watch import drawn

GROUP = Group(sender="S", department="", kind="ORU^R01", entity_model="m@1")


def message(number: int, words: str, *, negated: bool = False, **more: str) -> Decision:
    rows = note(words, ("asthma", "problem", Assertion(negated=negated)), ("metformin", "medication", None))
    return Decision(id=str(number), findings=findings(number, 0, **rows, **more))


def test_numbers_of_a_message() -> None:
    """Of the whole message; a message without a note has none, and a share of nothing is no share."""
    found = features(message(1, "asthma, metformin", negated=True))
    assert found[LENGTH] == 17
    assert found["share of problem"] == 0.5
    assert found["outside sections"] == 1.0
    assert (found["negated"], found["possible"]) == (1.0, 0.0)
    assert set(found) <= set(FEATURES)
    assert features(Decision(id="2", findings=findings(2, 0))) == {}
    assert "negated" not in features(Decision(id="3", findings=findings(3, 0, **note("nothing here"))))


def test_words_out_of_vocabulary() -> None:
    """Tags of de-identification and single letters are no words; without a vocabulary nobody is counted out of it."""
    assert words_of("[NAME] took a Zorbifex on [DATE-2], 5 mg") == ["took", "zorbifex", "on", "mg"]
    found = features(message(1, "asthma metformin zorbifex [NAME]"), frozenset({"asthma", "metformin"}))
    assert found[UNKNOWN] == pytest.approx(1 / 3)
    assert UNKNOWN not in features(message(1, "asthma metformin"))


def test_the_shipped_vocabulary_knows_common_words_alone() -> None:
    """Of the entity bundle's tokenizer."""
    known = known_words(Models())
    assert {"patient", "pain", "the"} <= known
    assert "zorbifex" not in known
    assert all(word.isalpha() for word in known)


def test_every_section_that_extract_names_is_a_feature() -> None:
    """The two lists are one."""
    assert set(SECTIONS) == {*headings().names.values(), "other"} - {"sub"}  # a subheading leaves its section


@given(st.sampled_from(FEATURES), st.floats(0, 1), st.floats(0, 1))
def test_bins_keep_order(feature: str, one: float, other: float) -> None:
    """A higher value never stands in a bin before a lower one's (behind it, for confidence, whose bins count from certainty), and a bin's middle lies in it."""
    scale = 1.0 if feature == CONFIDENCE or bins_of(feature) is bins_of("negated") else 5000.0
    low, high = sorted((one * scale, other * scale))
    bins = bins_of(feature)
    first, second = bins.of(low), bins.of(high)
    assert first >= second if feature == CONFIDENCE else first <= second
    assert bins.of(bins.middle(first)) == first


def test_a_baseline_holds_numbers_alone() -> None:
    """By sender, department, kind and model; no word of a note; read back as it was written."""
    rows = [message(k, "asthma and metformin", sender="S", department=f"D{k % 2}") for k in range(4)]
    made = make_baseline(rows, "2026-01-01T00:00:00Z")
    assert {(row.group.department, row.messages) for row in made.rows} == {("", 4), ("D0", 2), ("D1", 2)}
    raw = msgspec.json.encode(made)
    assert b"asthma" not in raw
    assert msgspec.json.decode(raw, type=Baseline) == made


def test_a_message_belongs_to_its_sender_and_its_department() -> None:
    """Under what found its mentions: another model, another group."""
    one = message(1, "asthma metformin", sender="S", department="D")
    assert [(group.sender, group.department) for group in groups_of(one.findings)] == [("S", ""), ("S", "D")]
    assert len(groups_of(message(1, "asthma metformin", sender="S").findings)) == 1
    versions = msgspec.structs.replace(one.findings.versions, entity_model="other@2")
    other = msgspec.structs.replace(one.findings, versions=versions)
    assert {group.id for group in groups_of(other)}.isdisjoint({group.id for group in groups_of(one.findings)})


@given(st.lists(st.dictionaries(st.sampled_from(FEATURES), st.integers(0, 9)), max_size=20), st.integers(0, 20))
def test_counting_adds_up_whatever_the_order(rows: list[dict[str, int]], cut: int) -> None:
    """Blocks counted apart are the same as counted together."""
    parts: list[Counts] = [{}, {}]
    for number, row in enumerate(reversed(rows)):
        add(parts[number < cut], row)
    whole: Counts = {}
    for row in rows:
        add(whole, row)
    assert total(parts) == whole


def draw(count: int, seed: int) -> list[float]:
    chance = random.Random(seed)
    return [chance.betavariate(8, 2) for _ in range(count)]


def histogram(values: Iterable[float], feature: str = "negated") -> Histogram:
    return dict(Counter(map(bins_of(feature).of, values)))


@pytest.mark.parametrize(
    "changed",
    [lambda x: x - 0.15, lambda x: 0.85 if x > 0.7 else x, lambda x: x * 0.7, lambda x: 0.0 if x < 0.75 else x],
    ids=["lower", "narrow", "scaled", "a part is gone"],
)
def test_a_planted_shift_is_found(changed: Callable[[float], float]) -> None:
    """Within one window of 500."""
    assert compare("negated", histogram(draw(2000, 1)), histogram([changed(x) for x in draw(500, 2)])).alarm


def test_the_same_is_quiet() -> None:
    """40 windows of the same distribution: none is sure and large."""
    before = histogram(draw(2000, 1))
    assert not any(compare("negated", before, histogram(draw(500, seed))).alarm for seed in range(2, 42))


def test_a_sure_but_small_shift_and_a_large_but_unsure_one_are_no_alarm() -> None:
    """Both are asked for."""
    before = draw(2000, 1)
    small = compare("negated", histogram(before), histogram([x - 0.02 for x in draw(20_000, 3)]))
    assert small.p < 1e-6
    assert not small.alarm
    few = compare("negated", histogram(before[:20]), histogram([x - 0.2 for x in draw(12, 3)]))
    assert few.psi > 0.1
    assert not few.alarm


@pytest.mark.parametrize(("before", "now"), [(5, 6), (6, 5)])
def test_values_that_all_moved_to_another_bin_are_a_large_shift(before: int, now: int) -> None:
    """Downwards as upwards: a part of the baseline never swallows a bin that it does not have."""
    found = compare("flags", {before: 1000}, {now: 500})
    assert found.psi > 5
    assert found.alarm


def test_constant_values_do_not_divide_by_zero() -> None:
    """One value on both sides is no shift."""
    same = compare("flags", {3: 300}, {3: 300})
    assert (same.psi, same.alarm, same.before, same.now) == (0.0, False, 3.0, 3.0)


def test_too_few_messages_are_not_judged() -> None:
    """And a feature that the baseline does not know neither."""
    before: Counts = {"flags": {0: FEWEST}}
    assert shifts(before, {"flags": {9: FEWEST - 1}}) == []
    assert shifts(before, {"negated": {9: FEWEST}}) == []
    (found,) = shifts(before, {"flags": {9: FEWEST}})
    assert found.alarm


def test_an_alarm_begins_once_and_ends_when_calm_lasts() -> None:
    """One calm comparison between two that see it ends nothing; three in a row do, and the next beginning is another."""
    before: Counts = {"flags": {0: 1000}}
    shifted, calm = {"flags": {9: 500}}, {"flags": {0: 500}}
    state, told = State(), []
    for block, now in enumerate([calm, shifted, shifted, calm, shifted, calm, calm, calm, calm, shifted]):
        state = judge(GROUP, state, block, f"t{block}", before, now, 500)
        told += state.told.get(block, ())
    assert [(row.state, row.since, row.time) for row in told] == [
        ("begun", "t1", "t1"), ("ended", "t1", "t7"), ("begun", "t9", "t9"),
    ]  # fmt: skip
    assert told[1].begun == told[0].id
    assert len({row.id for row in told}) == 3


def test_a_block_is_judged_once() -> None:
    """Judged again, whatever the counts say now, it stays what it was."""
    before: Counts = {"flags": {0: 1000}}
    state = judge(GROUP, State(), 1, "t", before, {"flags": {9: 500}}, 500)
    assert judge(GROUP, state, 1, "u", before, {"flags": {0: 500}}, 500) is state
    assert judge(GROUP, state, 0, "u", before, {"flags": {0: 500}}, 500) is state


def test_a_window_that_is_hardly_begun_is_not_judged() -> None:
    """And what stands goes on standing."""
    before: Counts = {"flags": {0: 1000}}
    state = judge(GROUP, State(), 1, "t", before, {"flags": {9: 500}}, 500)
    later = judge(GROUP, state, 2, "u", before, {"flags": {0: 150}}, FEWEST_MESSAGES - 1)
    assert later.standing == state.standing
    assert later.judged == 2


def test_what_was_told_is_kept_for_messages_that_come_again_and_not_for_ever() -> None:
    """Ten comparisons back."""
    before: Counts = {"flags": {0: 1000}}
    state = State()
    for block in range(60):
        state = judge(GROUP, state, block, "t", before, {"flags": {9 * (block // 6 % 2): 500}}, 500)
    assert state.told
    assert min(state.told) >= 50


def quiet(messages: int) -> list[str]:
    """Features told of a stationary stream: one group, as the stage would judge it."""
    chance, reference, blocks, state, told = random.Random(9), Counts(), list[Counts](), State(), list[str]()
    for number in range(messages):
        if number >= 1000 and number % STEP == 0:
            blocks.append({})
        add(blocks[-1] if blocks else reference, binned(features(drawn(chance, number))))
    for block in range(len(blocks) - 1):
        window = blocks[max(0, block - BLOCKS + 1) : block + 1]
        state = judge(GROUP, state, block, str(block), reference, total(window), STEP * len(window))
        told += [row.feature for row in state.told.get(block, ())]
    return told


def test_a_stationary_stream_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """5,000 messages against their first 1,000; with a bar of one in three and no size the same stream is not (the control)."""
    assert quiet(5000) == []
    monkeypatch.setattr(drift, "SURE", 0.3)
    monkeypatch.setattr(drift, "LARGE", 0.0)
    assert quiet(5000)


def test_bins_of_a_message() -> None:
    """Every number has its bin."""
    numbers = features(message(1, "asthma, metformin"))
    assert binned(numbers).keys() == numbers.keys()
