"""Agreement of two reviewers: kappa over words, F1 over spans, by type."""

from __future__ import annotations

import pytest

from ops.review.agreement import agreement, overlap_matches
from schemas.labels import ADJUDICATED
from tests.support.review import make_label, make_sample, span
from training.scoring import cohen_kappa

TEXT = "Denies severe chest pain and fever. Takes aspirin daily."
SAMPLE = make_sample("a", TEXT)


def test_kappa_by_hand() -> None:
    """The example of Cohen's paper in two classes; full agreement is 1, agreement by chance alone 0, nothing to agree on None."""
    assert cohen_kappa({("y", "y"): 20, ("y", "n"): 5, ("n", "y"): 10, ("n", "n"): 15}) == pytest.approx(0.4)
    assert cohen_kappa({("a", "a"): 3, ("b", "b"): 2}) == 1
    assert cohen_kappa({("y", "y"): 1, ("y", "n"): 1, ("n", "y"): 1, ("n", "n"): 1}) == 0
    assert cohen_kappa({("a", "a"): 3}) is None
    assert cohen_kappa({}) is None


def test_exact_overlap_and_said_about() -> None:
    """A longer span touches and is not equal; a type that only one gave counts against both F1; assertions where places are equal."""
    one = make_label(
        SAMPLE, "r1", span(TEXT, "severe chest pain", "finding", negated=True), span(TEXT, "fever", "finding", negated=True)
    )
    other = make_label(
        SAMPLE, "r2", span(TEXT, "chest pain", "finding", negated=True), span(TEXT, "fever", "finding"), span(TEXT, "aspirin", "medication")
    )  # fmt: skip
    (pair,) = agreement([one, other])
    rows = {row.type: row for row in pair.types}
    assert (pair.first, pair.second, pair.samples, pair.matched, pair.assertions) == ("r1", "r2", 1, 1, 0.0)
    assert set(rows) == {"all", "finding", "medication"}
    assert rows["finding"].exact == pytest.approx(1 / 2)
    assert rows["finding"].overlap == 1
    assert (rows["medication"].exact, rows["medication"].kappa) == (0, 0)
    assert rows["all"].exact == pytest.approx(2 / 5)
    # words: of eleven with the full stops, nine agree
    assert rows["all"].kappa == pytest.approx(cohen_kappa({("", ""): 6, ("f", "f"): 3, ("f", ""): 1, ("", "m"): 1}) or 0)


def test_only_what_both_reviewed_counts() -> None:
    """Pairs without a common note are none; who settles a dispute is no reviewer of it."""
    elsewhere = make_label(make_sample("b", TEXT), "r2", span(TEXT, "fever", "finding"))
    settled = make_label(SAMPLE, ADJUDICATED + "r3", span(TEXT, "fever", "finding"))
    assert agreement([make_label(SAMPLE, "r1"), elsewhere, settled]) == []


def test_each_span_has_one_partner() -> None:
    """One long span is no partner of two short ones."""
    long, left, right = span(TEXT, "severe chest pain", "finding"), span(TEXT, "severe", "finding"), span(TEXT, "pain", "finding")
    assert overlap_matches([long], [left, right]) == 1
    assert overlap_matches([long, left], [left, right]) == 2
    assert overlap_matches([long], [span(TEXT, "severe", "problem")]) == 0
