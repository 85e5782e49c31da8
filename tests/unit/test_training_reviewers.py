"""Whose labels may teach: caps, gold questions, outliers, disputes. The labels alone decide, in whatever order they come."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.findings import Assertion
from schemas.labels import ADJUDICATED, Edits, ReviewedLabel, ReviewedSpan
from streams.settings import Review
from tests.support.review import DAY, make_label, make_sample, span
from training.data.errors import DataError
from training.data.reviewers import Trust, edits_of, gold_counts, read_gold, trusted

TEXT = "Denies chest pain. Takes aspirin."
PAIN, DENIED = span(TEXT, "chest pain", "finding"), span(TEXT, "chest pain", "finding", negated=True)
ASPIRIN = span(TEXT, "aspirin", "medication")
TRUTH = (DENIED, ASPIRIN)


def label(name: str, reviewer: str, *spans: ReviewedSpan, day: str = DAY, edits: Edits | None = None) -> ReviewedLabel:
    return make_label(make_sample(name, TEXT), reviewer, *spans, decided=f"{day}T10:00:00.000+00:00", edits=edits)


def gold(number: int) -> dict[str, ReviewedLabel]:
    return {f"g{k}": label(f"g{k}", "site", *TRUTH) for k in range(number)}


def why(labels: list[ReviewedLabel], questions: dict[str, ReviewedLabel] | None = None, **policy: float) -> dict[str, str]:
    """What is left out, by label."""
    found = trusted(labels, questions or {}, Trust(**policy))  # type: ignore[arg-type]
    assert Counter(one.id for one in labels) >= Counter([*(k.id for k in found.kept), *(a.label.id for a in found.put_aside)])
    return {aside.label.id: aside.reason for aside in found.put_aside}


def test_what_is_beyond_the_days_cap_is_left_out() -> None:
    """The first ones of a day count, by the instant of the decision; another day and another reviewer have their own."""
    labels = [label(f"s{n}", "r1") for n in range(5)] + [label("t", "r1", day="2026-03-02"), label("u", "r2")]
    assert why(labels, cap_per_day=3) == {"s3/r1": "cap", "s4/r1": "cap"}
    assert why(list(reversed(labels)), cap_per_day=3) == {"s3/r1": "cap", "s4/r1": "cap"}


def test_who_fails_gold_questions_is_put_aside() -> None:
    """After enough answers and below the threshold, with everything; who passes keeps all but the answers."""
    questions = gold(5)
    bad = [label(name, "bad", PAIN) for name in questions] + [label("s1", "bad")]
    good = [label(name, "good", *TRUTH) for name in questions] + [label("s2", "good")]
    reasons = why([*bad, *good], questions, gold_fewest=5, gold_f1=0.6)
    assert reasons == {one.id: "gold_question" for one in [*bad, *good][:5] + good[:5]} | {"s1/bad": "gold"}
    assert "s1/bad" not in why(bad[1:], questions, gold_fewest=5)
    standing = trusted([*bad, *good], questions, Trust()).standings
    assert (standing["good"].gold_f1, standing["bad"].gold_f1, standing["bad"].gold_answers) == (1.0, 0.0, 5)


def test_a_gold_answer_is_judged_by_what_the_truth_judges() -> None:
    """A wrong assertion is wrong and missed; types that the truth does not annotate do not count, nor assertions that it leaves open."""
    truth = label("g", "site", *TRUTH)
    counts = gold_counts(label("g", "r", PAIN, ASPIRIN), truth)
    assert (counts.right, counts.wrong, counts.missed) == (1, 1, 1)
    open_ = ReviewedSpan(start=DENIED.start, end=DENIED.end, type="finding")
    narrow = msgspec.structs.replace(truth, spans=(open_,), annotated=("finding",))
    counts = gold_counts(label("g", "r", PAIN, ASPIRIN), narrow)
    assert (counts.right, counts.wrong, counts.missed) == (1, 0, 0)


def crowd(random: Random, deleted: float, reviewer: str, labels: int = 30) -> list[ReviewedLabel]:
    found = []
    for number in range(labels):
        gone = sum(random.random() < deleted for _ in range(10))
        edits = Edits(prefilled=10, kept=10 - gone, deleted=gone, added=int(random.random() < 0.3))
        found.append(label(f"{reviewer}-{number}", reviewer, PAIN, edits=edits))
    return found


def test_who_deletes_unlike_all_others_is_put_aside() -> None:
    """Half of the spans where others delete a tenth; the others differ by chance and stay, and too few of them say nothing."""
    random = Random(3)
    others = [one for k in range(5) for one in crowd(random, 0.1, f"r{k}")]
    vandal = crowd(random, 0.5, "vandal")
    assert why([*others, *vandal]) == {one.id: "outlier" for one in vandal}
    assert why([*others[:60], *vandal]) == {}
    assert why([*others, *vandal[:10]]) == {}
    standing = trusted([*others, *vandal], {}, Trust()).standings
    assert all(abs(standing[f"r{k}"].deletions_z or 0) < 3.5 for k in range(5))


def test_one_label_a_sample() -> None:
    """Equal labels: the first; different ones: none, until one is adjudicated, which stands in place of all."""
    same = [label("a", "r1", PAIN), label("a", "r2", PAIN)]
    assert why(same) == {"a/r2": "same"}
    differ = [label("a", "r1", PAIN), label("a", "r2", DENIED)]
    assert why(differ) == {"a/r1": "disputed", "a/r2": "disputed"}
    settled = label("a", ADJUDICATED + "r3", DENIED)
    assert why([*differ, settled]) == {"a/r1": "adjudicated", "a/r2": "adjudicated"}
    assert trusted([*differ, settled], {}, Trust()).kept == (settled,)


def test_what_only_one_judged_is_no_dispute() -> None:
    """Another tool's label without assertions, a flag that one left open: the fuller label is kept; two verdicts on one flag are a dispute."""
    bare = label("a", "r1", ReviewedSpan(start=DENIED.start, end=DENIED.end, type="finding"))
    full = label("a", "r2", DENIED)
    assert why([bare, full]) == {"a/r1": "same"}
    right, wrong, unjudged = (
        msgspec.structs.replace(label("a", who, DENIED), flags=flags)
        for who, flags in (("r1", {"f": "right"}), ("r2", {"f": "wrong"}), ("r3", {}))
    )
    assert why([right, unjudged]) == {"a/r3": "same"}
    assert set(why([right, wrong]).values()) == {"disputed"}


def test_the_last_state_of_a_label_counts() -> None:
    """A correction has the id of what it corrects."""
    first = label("a", "r1", PAIN)
    second = msgspec.structs.replace(first, spans=(DENIED,), decided=f"{DAY}T11:00:00.000+00:00")
    assert trusted([first, second], {}, Trust()).kept == (second,)


@given(st.randoms(use_true_random=False), st.integers(1, 4))
def test_order_changes_nothing(random: Random, cap: int) -> None:
    """Every label comes out once, kept or aside, the same however the topic's partitions were read."""
    questions = gold(3)
    labels = [
        label(f"s{n % 7}" if n % 3 else f"g{n % 3}", f"r{n % 4}", *(TRUTH if n % 2 else (PAIN,)), day=f"2026-03-0{1 + n % 2}")
        for n in range(24)
    ]
    labels = list({one.id: one for one in labels}.values())
    before = trusted(labels, questions, Trust(cap_per_day=cap, gold_fewest=1))
    random.shuffle(labels)
    after = trusted(labels, questions, Trust(cap_per_day=cap, gold_fewest=1))
    assert before == after
    assert len(before.kept) + len(before.put_aside) == len(labels)
    assert len({one.sample for one in before.kept}) == len(before.kept)


def test_what_became_of_prefilled_spans() -> None:
    """Kept with another assertion is kept; another type at the same place is retyped; a moved end is deleted and added."""
    moved = ReviewedSpan(start=DENIED.start, end=DENIED.end - 1, type="finding")
    assert edits_of((DENIED, ASPIRIN), (PAIN, msgspec.structs.replace(ASPIRIN, type="finding"))) == Edits(
        prefilled=2, kept=1, retyped=1
    )
    assert edits_of((DENIED,), (moved,)) == Edits(prefilled=1, deleted=1, added=1)


def test_gold_files_are_checked(tmp_path: Path) -> None:
    """One label a sample, spans inside of their notes; the error names the line, never the note."""
    path = tmp_path / "gold.jsonl"
    first, second = (msgspec.json.encode(one) + b"\n" for one in gold(2).values())
    path.write_bytes(first + second)
    assert set(read_gold(path)) == {"g0", "g1"}
    outside = label("g3", "site", ReviewedSpan(start=0, end=99, type="finding", assertion=Assertion()))
    for content, code in ((first + first, "twice"), (first + msgspec.json.encode(outside), "offset"), (b"{}", "record")):
        path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            read_gold(path)
        assert caught.value.code == code
        assert "chest" not in str(caught.value)


def test_the_policy_is_the_sites() -> None:
    """Every limit comes from the settings."""
    assert Trust.of(Review(cap_per_day=7, gold_f1=0.9, gold_fewest=3, outlier_fewest=9, outlier_z=5)) == Trust(7, 0.9, 3, 9, 5)
