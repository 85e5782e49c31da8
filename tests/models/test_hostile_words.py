"""Tokenization and windows under text that no clinician writes: linear, and quick."""

from __future__ import annotations

import time

import pytest

from models.bundle import TOKENIZER, shelf_bundle
from models.tokens import WordPieces
from models.windows import windows

HOSTILE = {
    "one word of a megabyte": ("a", 1_000_000),
    "combining marks": ("a" + "\u0301" * 9, 10_000),
    "a word a letter": ("a ", 50_000),
    "signs": ("!?", 50_000),
    "ideographs": ("\u7814", 100_000),
    "zero width": ("a\u200b", 50_000),
    "emoji": ("\U0001f9ec\u200d", 50_000),
    "digits": ("1", 100_000),
}


@pytest.fixture(scope="module", params=["wardstream-entities", "wardstream-phi"])
def pieces(request: pytest.FixtureRequest) -> WordPieces:
    return WordPieces(shelf_bundle(request.param) / TOKENIZER)


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_words_take_linear_time(pieces: WordPieces, name: str) -> None:
    """At most 200 ms of processor time a hundred thousand characters (five times that here, for a busy machine), and eight times the text takes less
    than twenty times as long."""
    unit, count = HOSTILE[name]

    def seconds(repeats: int) -> float:
        text = unit * repeats
        begun = time.process_time()
        found = pieces(text)
        list(windows(len(found), 126, 32, found.breaks(text)))
        return time.process_time() - begun

    seconds(count // 8)
    small = min(seconds(count // 8) for _ in range(3))
    whole = seconds(count)
    assert whole < 1.0 * max(1.0, len(unit) * count / 100_000)
    assert whole < max(20 * small, 0.2)
