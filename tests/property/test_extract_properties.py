"""Properties of the extraction rules over arbitrary and clinical-looking text."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.extract.assertion import Target, assert_all
from agents.extract.mentions import Origin, read_note
from agents.extract.rules import Span, unite
from agents.extract.sections import layout
from tests.support.extract import Tagged

ORIGIN = Origin("o", "p", "v")
_WORDS = st.sampled_from(
    [
        *(
            "no",
            "fever",
            "denies",
            "cough.",
            "PLAN:",
            "history of",
            "\n\n",
            "-",
            "1.",
            "mother",
            "[NAME]",
            "BP",
            "120/80",
            "500 mg",
        ),
        *("PO", "BID", "if", ",", ";", "(", ")", "?", "K", "6.8", "ruled out", "x 3 days", "MEDICATIONS\n", "SI/HI", "aspirin"),
        *("\r\n", "•", "Dr.", "b.i.d.", "é", "ﬁ", "😀", "\x0b", "'", "’", "\u2028", "has", "was", "or", "and", "but"),
    ]
)
TEXTS = st.one_of(st.lists(_WORDS, max_size=40).map(" ".join), st.text(max_size=120))
SPANS = st.lists(
    st.tuples(st.integers(0, 120), st.integers(1, 20), st.sampled_from(["problem", "medication", "dosage", "test"])), max_size=8
)


@settings(max_examples=150, deadline=None)
@given(TEXTS)
def test_sections_and_sentences_are_ordered_and_inside(text: str) -> None:
    """Sections cover the text; sentences are disjoint, trimmed, in order."""
    sections, sentences = layout(text)
    assert sections[0].start == 0
    assert sections[-1].end == len(text)
    assert all(a.end == b.start for a, b in pairwise(sections))
    last = 0
    for sentence in sentences:
        assert last <= sentence.start < sentence.end <= len(text)
        assert text[sentence.start : sentence.end].strip() == text[sentence.start : sentence.end]
        last = sentence.end


@settings(max_examples=150, deadline=None)
@given(TEXTS, SPANS)
def test_mentions_lie_in_the_text_disjoint_and_without_tags(text: str, spans: list[tuple[int, int, str]]) -> None:
    """Whatever the model says: offsets fit the text, mentions do not overlap, none holds a replacement tag, ids differ."""
    tagged, last = [], 0
    for start, length, kind in sorted(spans):
        if last <= start < len(text):
            last = min(start + length, len(text))
            tagged.append(Tagged(start, last, kind))
    result = read_note("n", text, tagged, source="m", origin=ORIGIN)
    end = 0
    for mention in result.mentions:
        assert end <= mention.start < mention.end <= len(text)
        assert mention.text == text[mention.start : mention.end]
        assert "[NAME]" not in mention.text
        end = mention.end
    ids = {m.id for m in result.mentions}
    assert len(ids) == len(result.mentions)
    assert all({r.head, r.tail} <= ids for r in result.relations)


@settings(max_examples=100, deadline=None)
@given(TEXTS, st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), min_size=1, max_size=6))
def test_a_targets_answer_does_not_depend_on_the_others(text: str, places: list[tuple[int, int]]) -> None:
    """Asserting spans together or one by one gives the same."""
    text = text.ljust(90)
    targets = [Target(start, start + length) for start, length in places]
    sections, sentences = layout(text)
    together = assert_all(text, targets, sentences, sections)
    assert together == [assert_all(text, [target], sentences, sections)[0] for target in targets]


_SPAN = st.builds(
    lambda start, length, kind: Span(start, start + length, kind, 0.5, "x"),
    st.integers(0, 40),
    st.integers(1, 8),
    st.sampled_from(["problem", "medication", "dosage", "frequency", "test", "value"]),
)


def _disjoint(spans: list[Span]) -> list[Span]:
    kept: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start, s.end, s.type)):
        if not kept or kept[-1].end <= span.start:
            kept.append(span)
    return kept


@settings(max_examples=200, deadline=None)
@given(st.lists(_SPAN, max_size=8).map(_disjoint), st.lists(_SPAN, max_size=8).map(_disjoint))
def test_the_union_is_disjoint(model: list[Span], ruled: list[Span]) -> None:
    """Two disjoint lists join into one."""
    joined = unite(model, ruled)
    assert all(a.end <= b.start for a, b in pairwise(joined))


@pytest.mark.parametrize(
    "unit",
    [
        "no ",
        "a. ",
        "(",
        "1.",
        "mg/",
        "BP ",
        "120/80 ",
        "if ,",
        "K: ",
        "\n- ",
        "A",
        " ",
        "history of ",
        "SI ",
        "0",
        "PLAN:",
        "[A",
        ".",
        "0,000,",
    ],
)
def test_time_is_linear(unit: str) -> None:
    """A hostile repetition of 16 times the length takes about 16 times as much processor time, not 256."""

    def spent(count: int) -> float:
        text = unit * count
        tagged = [Tagged(0, 1, "problem"), Tagged(len(text) - 1, len(text), "problem")]
        begin = time.thread_time()
        read_note("n", text, tagged, source="m", origin=ORIGIN)
        return time.thread_time() - begin

    spent(10)
    small = min(spent(500) for _ in range(3))
    assert spent(8000) < 100 * small + 0.5
