"""Windows tile the text; decoding gives whole words and repaired spans."""

from __future__ import annotations

import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bundle import shelf_bundle
from models.decoding import spans_of
from models.tokens import Tokens, WordPieces, shape_of
from models.windows import windows

TYPES = ("drug", "dose")
PIECES = WordPieces(shelf_bundle("wardstream-phi") / "tokenizer.json")
HALF = np.array([0.5, 0.5], dtype=np.float32)


def words(text: str) -> Tokens:
    """One piece a white-space separated word."""
    starts, at = [], 0
    for word in text.split(" "):
        starts.append(at)
        at += len(word) + 1
    start = np.array(starts)
    end = np.array([s + len(w) for s, w in zip(starts, text.split(" "), strict=True)])
    count = np.arange(len(start))
    return Tokens(count, start, end, count, np.zeros_like(count))


def probabilities(*rows: str) -> np.ndarray:
    """One certain row a word: ``O``, ``B-drug``, ``I-drug``, ``B-dose``, ``I-dose``."""
    labels = ["O", "B-drug", "I-drug", "B-dose", "I-dose"]
    table = np.full((len(rows), 5), 0.01, dtype=np.float32)
    for k, label in enumerate(rows):
        table[k, labels.index(label)] = 0.96
    return table


@settings(max_examples=60, deadline=None)
@given(pieces=st.integers(0, 3000), size=st.integers(8, 254), half=st.integers(0, 15))
def test_owned_ranges_tile_the_text_and_lie_in_their_window(pieces: int, size: int, half: int) -> None:
    """Every piece belongs to exactly one window, which sees it with half the overlap around it where there is text."""
    overlap = 2 * min(half, (size - 1) // 4)
    found = windows(pieces, size, overlap)
    assert [w.own_start for w in found] == [0, *(w.own_end for w in found[:-1])][: len(found)]
    assert (found[-1].own_end if found else 0) == pieces
    for window in found:
        assert window.end - window.start <= size
        assert window.start + (overlap // 2 if window.start else 0) <= window.own_start < window.own_end <= window.end
        assert window.own_end <= window.end - (overlap // 2 if window.end < pieces else 0)


def test_a_begin_label_splits_neighbouring_spans_of_one_type() -> None:
    """Two drugs side by side stay two."""
    text = "aspirin heparin"
    found = spans_of(text, words(text), probabilities("B-drug", "B-drug"), TYPES, HALF)
    assert [text[s.start : s.end] for s in found] == ["aspirin", "heparin"]


def test_an_inside_label_without_a_beginning_still_makes_a_span() -> None:
    """BIO is repaired: a span may start with I, and a change of type starts a new one."""
    text = "folic acid 5 mg daily"
    found = spans_of(text, words(text), probabilities("I-drug", "I-drug", "I-dose", "I-dose", "O"), TYPES, HALF)
    assert [(text[s.start : s.end], s.label) for s in found] == [("folic acid", "drug"), ("5 mg", "dose")]


def test_a_doubtful_beginning_goes_on_and_a_sure_one_does_not() -> None:
    """Two mentions of one type seldom touch: a word begins a new one when that is three times as likely as going on."""
    text = "folic acid"
    for begins, expected in ((0.5, ["folic acid"]), (0.8, ["folic", "acid"])):
        table = np.array([[0.02, 0.9, 0.06, 0.01, 0.01], [0.02, begins, 0.96 - begins, 0.01, 0.01]], dtype=np.float32)
        assert [text[s.start : s.end] for s in spans_of(text, words(text), table, TYPES, HALF)] == expected


def test_a_word_of_doubtful_type_joins_the_mention_that_it_stands_in() -> None:
    """A word of which the model is only two fifths sure does not break a mention in two."""
    text = "prostate and lung cancer"
    sure, doubtful = [0.02, 0.02, 0.94, 0.01, 0.01], [0.6, 0.02, 0.36, 0.01, 0.01]
    table = np.array([[0.02, 0.94, 0.02, 0.01, 0.01], doubtful, sure, sure], dtype=np.float32)
    assert [text[s.start : s.end] for s in spans_of(text, words(text), table, TYPES, HALF)] == [text]


def test_no_span_reaches_over_an_empty_line() -> None:
    """A heading and the paragraph under it are no mention together; a line end inside a paragraph is nothing."""
    for text, expected in (("review systems\n\nlungs", ["review systems", "lungs"]), ("right\nlung", ["right\nlung"])):
        tokens = PIECES(text)
        found = spans_of(text, tokens, probabilities("B-drug", *["I-drug"] * (len(tokens) - 1)), TYPES, HALF)
        assert [text[s.start : s.end] for s in found] == expected


def test_edges_lose_punctuation_but_keep_initials_and_closed_brackets() -> None:
    """Trimming removes what does not belong to the mention, and nothing else."""
    for text, expected in (
        ("(aspirin),", "aspirin"),
        ("Anna S.", "Anna S."),
        ("b.i.d.", "b.i.d."),
        ("pain.", "pain"),
        ("PTH (1-34)", "PTH (1-34)"),
    ):
        tokens = words(text)
        found = spans_of(text, tokens, probabilities("B-drug", *["I-drug"] * (len(tokens) - 1)), TYPES, HALF)
        assert [text[s.start : s.end] for s in found] == [expected]


def test_a_higher_threshold_takes_fewer_words() -> None:
    """A type is taken only from its threshold on."""
    text = "aspirin"
    table = np.array([[0.4, 0.5, 0.05, 0.03, 0.02]], dtype=np.float32)
    assert spans_of(text, words(text), table, TYPES, HALF)
    assert not spans_of(text, words(text), table, TYPES, np.array([0.7, 0.7], dtype=np.float32))


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=300))
def test_pieces_lie_in_order_inside_any_text(text: str) -> None:
    """Whatever the characters, pieces have offsets inside the text, in order, and as many of everything."""
    tokens = PIECES(text)
    assert len(tokens.ids) == len(tokens.start) == len(tokens.end) == len(tokens.word) == len(tokens.shape)
    assert (tokens.start <= tokens.end).all()
    assert (np.diff(tokens.start) >= 0).all()
    assert (np.diff(tokens.word) >= 0).all()
    assert len(tokens) == 0 or 0 <= tokens.start[0] <= tokens.end.max() <= len(text)


def test_trimming_texts_of_brackets_is_linear() -> None:
    """A hundred thousand opening brackets in one span cost no quadratic search."""
    text = " ".join("(" * 100_000)
    tokens = words(text)
    table = np.tile(probabilities("I-drug"), (len(tokens), 1))
    began = time.monotonic()
    assert spans_of(text, tokens, table, TYPES, HALF) == ()
    assert time.monotonic() - began < 5


def test_letter_shapes() -> None:
    """Small, capitalised, all capitals, with digits."""
    assert [shape_of(w) for w in ("pain", "Smith", "McKay", "MS", "B12", "A", "-", "é")] == [0, 1, 1, 2, 3, 1, 0, 0]
