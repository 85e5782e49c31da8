"""Sides, onsets, expansions and the order of events on sentences written by hand before the rules: nothing is said wrongly, and not less than was measured."""

from __future__ import annotations

import pytest

from benchmarks.understanding import expanded, read_marked, read_order, rows, same_words


@pytest.mark.parametrize(("side", "sentence"), [*rows("laterality")])
def test_laterality(side: str, sentence: str) -> None:
    """The side of the finding, and none where "left" is a verb or part of a name."""
    assert (read_marked(sentence).laterality or "-") == side


@pytest.mark.parametrize(("ago", "words", "sentence"), [*rows("onset")])
def test_onset(ago: str, words: str, sentence: str) -> None:
    """Since when, how long ago; none for times of drugs, plans and conditions."""
    onset = read_marked(sentence).onset
    if words == "-":
        assert onset is None
        return
    assert onset is not None
    assert same_words(words, onset.words)
    assert (onset.ago or "?") == ago


def test_expansions() -> None:
    """What is said is right; the share that is said stands in ``benchmarks/results/understanding.json``."""
    told = [(long, expanded(short, section, sentence)) for short, long, section, sentence in rows("expansions")]
    assert all(found in ("", long) for long, found in told)
    assert sum(bool(found) for _, found in told) >= 15


@pytest.mark.parametrize(("order", "lag", "anchor", "sentence"), [*rows("events")])
def test_order_of_events(order: str, lag: str, anchor: str, sentence: str) -> None:
    """Which of two came first, or when in the stay one was; nothing where the sentence does not say, or the event did not happen."""
    found = read_order(sentence)
    assert found == (None if order == "-" else (order, "" if lag == "?" else lag, "" if anchor == "-" else anchor))
