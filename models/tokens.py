"""Text to word pieces with exact character offsets, whole words and letter shapes.

The encoders are uncased; what capital letters say (names, abbreviations) is kept as one of four *shapes* a word and fed to
the network as its token type: 0 no capital, 1 capitalised or mixed, 2 all capitals (two letters or more), 3 holds a digit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from schemas.errors import ConfigurationError

IntArray = npt.NDArray[np.int64]
SHAPES = 4
_LETTERS_LOOKED_AT = 64


@dataclass(frozen=True, slots=True)
class Tokens:
    """Word pieces of one text, without special tokens; all arrays have one entry a piece.

    ``start``/``end`` are code-point offsets into the text, ``word`` numbers the whole words that pieces belong to.
    """

    ids: IntArray
    start: IntArray
    end: IntArray
    word: IntArray
    shape: IntArray

    def __len__(self) -> int:
        return len(self.ids)

    def breaks(self, text: str) -> tuple[list[int], list[int]]:
        """Pieces that begin a line, and pieces that begin a sentence: after a full stop, question or exclamation mark that ends a word
        of four letters or more (a shorter one may be a title or an abbreviation)."""
        lines: list[int] = []
        sentences: list[int] = []
        starts, ends = self.start.tolist(), self.end.tolist()
        for piece in range(1, len(starts)):
            gap = text[ends[piece - 1] : starts[piece]]
            if not gap:
                continue
            if "\n" in gap:
                lines.append(piece)
            elif text[ends[piece - 1] - 1] in ".!?" and text[max(0, ends[piece - 1] - 5) : ends[piece - 1] - 1].isalpha():
                sentences.append(piece)
        return lines, sentences


@lru_cache(maxsize=65_536)
def shape_of(word: str) -> int:
    """Letter shape of one word, 0 to 3."""
    if any(c.isdigit() for c in word):
        return 3
    if word.isupper():
        return 2 if len(word) > 1 else 1
    return 0 if word.islower() or not any(c.isupper() for c in word) else 1


class WordPieces:
    """A ``tokenizer.json`` made ready: no padding, no truncation, no special tokens. Safe to share between threads."""

    def __init__(self, path: Path) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise ConfigurationError(path=str(path), detail="unreadable tokenizer") from error
        self._path = path
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.cls, self.sep, self.pad = (self._special(path, name) for name in ("[CLS]", "[SEP]", "[PAD]"))

    def _special(self, path: Path, name: str) -> int:
        number: int | None = self._tokenizer.token_to_id(name)
        if number is None:
            raise ConfigurationError(path=str(path), detail=f"the tokenizer knows no {name}")
        return number

    def id_of(self, piece: str) -> int:
        """Number of a special piece. Raises ConfigurationError when the tokenizer lacks it."""
        return self._special(self._path, piece)

    @property
    def whole_words(self) -> frozenset[str]:
        """Words, letters alone, that are not cut into pieces; lower-case where the tokenizer is uncased."""
        return frozenset(word for word in self._tokenizer.get_vocab(with_added_tokens=False) if word.isalpha())

    def __call__(self, text: str) -> Tokens:
        """Tokenize one text of any length, in time linear in it."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
        word = np.array(encoding.word_ids, dtype=np.int64)
        start, end = offsets[:, 0].copy(), offsets[:, 1].copy()
        if len(word) == 0:
            return Tokens(np.zeros(0, np.int64), start, end, word, np.zeros(0, np.int64))
        firsts = np.flatnonzero(np.diff(word, prepend=-1))
        lasts = np.append(firsts[1:], len(word)) - 1
        places = zip(start[firsts].tolist(), end[lasts].tolist(), strict=True)
        shapes = np.array([shape_of(text[a : min(b, a + _LETTERS_LOOKED_AT)]) for a, b in places], dtype=np.int64)
        return Tokens(np.array(encoding.ids, dtype=np.int64), start, end, word, np.repeat(shapes, lasts - firsts + 1))
