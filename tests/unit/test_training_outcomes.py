"""What people made of the results: reliability of scores against reviewed labels, override rates by flag."""

from __future__ import annotations

import pytest

from schemas.cards import CardFeedback, Outcome
from schemas.findings import FindingsNote, Mention, Versions
from schemas.labels import ReviewedLabel, ReviewedSpan
from schemas.samples import Sample, SampleReason
from training.outcomes import overrides, reliability, wilson

NOTE = FindingsNote(path="OBX[1]-5", text="asthma fever cough", sha256="0" * 64)
_PLACES = {"asthma": (0, 6), "fever": (7, 12), "cough": (13, 18)}


def mention(word: str, score: float, source: str = "m@1") -> Mention:
    start, end = _PLACES[word]
    return Mention(id=word, note=NOTE.path, start=start, end=end, text=word, type="problem", score=score, source=source)


def sample(number: str, *mentions: Mention, reason: SampleReason = "random", model: str = "m@1") -> Sample:
    return Sample(
        id=number, origin=number, subject="s", reason=reason, score=0.0, note=NOTE, mentions=mentions,
        versions=Versions(entity_model=model),
    )  # fmt: skip


def label(
    number: str, *words: str, reviewer: str = "p1", decided: str = "2026-01-01", note: FindingsNote = NOTE
) -> ReviewedLabel:
    spans = tuple(ReviewedSpan(start=_PLACES[word][0], end=_PLACES[word][1], type="problem") for word in words)
    return ReviewedLabel(
        id=f"{number}{reviewer}", sample=number, subject="s", note=note, reviewer=reviewer, guideline="1", decided=decided,
        annotated=("problem",), spans=spans,
    )  # fmt: skip


def test_right_is_what_the_reviewer_marked_too() -> None:
    """Nine of ten at 0.9: no calibration error; Brier is the mean of squares."""
    samples = [sample(str(n), mention("asthma", 0.9)) for n in range(10)]
    labels = [label(str(n), *(["asthma"] if n else [])) for n in range(10)]
    everything, problems = reliability(samples, labels)
    assert (everything.type, problems.type) == ("all", "problem")
    assert (problems.right.hits, problems.right.of, problems.notes) == (9, 10, 10)
    assert problems.ece == pytest.approx(0.0)
    assert problems.brier == pytest.approx(0.9 * 0.01 + 0.1 * 0.81)
    (part,) = problems.bins
    assert (part.low, part.count) == (0.9, 10)
    assert part.right == pytest.approx(0.9)


def test_a_model_that_is_too_sure_has_an_error() -> None:
    """Half right at 0.9 is off by 0.4."""
    samples = [sample(str(n), mention("asthma", 0.9)) for n in range(10)]
    found = reliability(samples, [label(str(n), *(["asthma"] if n % 2 else [])) for n in range(10)])
    assert found[0].ece == pytest.approx(0.4)


def test_samples_drawn_by_chance_are_apart_from_chosen_ones_and_models_from_one_another() -> None:
    """Only the first are an estimate of the stream."""
    samples = [
        sample("1", mention("asthma", 0.9)),
        sample("2", mention("asthma", 0.4), reason="uncertain"),
        sample("3", mention("asthma", 0.9), model="m@2"),
    ]
    found = reliability(samples, [label(n, "asthma") for n in "123"])
    assert [(row.entity_model, row.drawn, row.type) for row in found] == [
        ("m@1", True, "all"), ("m@1", True, "problem"), ("m@1", False, "all"), ("m@1", False, "problem"),
        ("m@2", True, "all"), ("m@2", True, "problem"),
    ]  # fmt: skip


def test_what_no_reviewer_judged_is_not_counted() -> None:
    """Rules have no score; types that were not annotated, samples without a label, and labels of another text say nothing."""
    samples = [
        sample("1", mention("fever", 1.0, "rules/1")),
        sample("2", mention("fever", 0.9)),
        sample("3", mention("fever", 0.9)),
    ]
    other = FindingsNote(path="OBX[1]-5", text="x", sha256="1" * 64)
    assert reliability(samples, [label("1", "fever"), label("2", "fever", note=other)]) == []


def test_the_newest_label_counts_and_the_one_that_settles_before_it() -> None:
    """Of two reviewers' the later; an adjudicated one whenever it came."""
    samples = [sample("1", mention("asthma", 0.9))]
    old, new = label("1", decided="2026-01-01"), label("1", "asthma", reviewer="p2", decided="2026-02-01")
    assert reliability(samples, [new, old])[0].right.hits == 1
    settled = label("1", reviewer="adjudicated:p3", decided="2026-01-15")
    assert reliability(samples, [settled, new, old])[0].right.hits == 0


def answer(card: str, outcome: Outcome, time: str = "1", type_: str = "lab.critical", reason: str = "") -> CardFeedback:
    return CardFeedback(id=card + time, card=card, service="s", outcome=outcome, time=time, issuer="i", type=type_, reason=reason)


def test_overrides_by_flag_with_their_reasons() -> None:
    """What became of a card last; the flag most often set aside first."""
    found = overrides([
        answer("a", "accepted"), answer("b", "overridden", reason="wrong"), answer("c", "overridden", "1", reason="known"),
        answer("c", "accepted", "2"), answer("d", "overridden", type_="kidney.aki"),
    ])  # fmt: skip
    assert [(row.type, row.overridden.hits, row.overridden.of) for row in found] == [("kidney.aki", 1, 1), ("lab.critical", 1, 3)]
    assert found[1].reasons == {"wrong": 1}
    assert found[0].reasons == {"none given": 1}


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [(8, 10, 0.490, 0.943), (0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0), (0, 0, 0.0, 1.0)],
)
def test_intervals_are_wilsons(hits: int, of: int, low: float, high: float) -> None:
    """The score interval, worked out by hand to three places; it stays within 0 and 1."""
    found = wilson(hits, of)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-4), pytest.approx(high, abs=5e-4))
