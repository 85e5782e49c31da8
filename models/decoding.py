"""Piece probabilities to spans: whole words, repaired BIO, trimmed edges, stable scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.tokens import Tokens

FloatArray = npt.NDArray[np.float32]
#: Development parts of the entity corpora decided these: together they are worth .3 of a point on BC5CDR and 1.5 on NCBI.
TOGETHER: Final = 0.35
BEGINS: Final = 3.0
FOLLOWS: Final = 0.1
LIKELIEST: Final = 0.6
_BRACKET_REACH: Final = 80  # characters; keeps trimming linear in texts of brackets
_OPENING: Final = frozenset(" \t\r\n,.;:!?\"'()[]{}-–—/\\|*_=&#`~^")
_CLOSING: Final = frozenset(" \t\r\n,;:!?\"'([{-–—/\\|*_=<>&#`~^@")


@dataclass(frozen=True, slots=True)
class ScoredSpan:
    """Characters ``[start, end)`` of the text (code points); score is the mean word probability, 0 to 1, four places."""

    start: int
    end: int
    label: str
    score: float


def softmax(logits: FloatArray) -> FloatArray:
    """Along the last axis, in float32."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: FloatArray = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


def spans_of(
    text: str, tokens: Tokens, probabilities: FloatArray, types: tuple[str, ...], thresholds: FloatArray
) -> tuple[ScoredSpan, ...]:
    """Spans of one text.

    A word's probability of a type is the mean over its pieces of ``B`` plus ``I``. A word may belong to a span when all types
    together reach ``TOGETHER`` (or the threshold of the likeliest, if lower) and the likeliest alone ``LIKELIEST`` of its threshold.
    It continues the span before it unless its first piece says ``B`` ``BEGINS`` times as likely as ``I`` (all types together: two
    mentions seldom touch), and when the span's type is its likeliest or at least ``FOLLOWS`` likely. A span's label is the type
    that is likeliest over its words, and the span counts when the mean probability of that type reaches the type's threshold.
    No span reaches over an empty line. Words are those of the tokenizer: they end at white space and punctuation, so no span ends
    inside one.
    """
    if len(tokens) == 0:
        return ()
    firsts = np.flatnonzero(np.diff(tokens.word, prepend=-1))
    counts = np.diff(np.append(firsts, len(tokens)))
    by_type = probabilities[:, 1::2] + probabilities[:, 2::2]
    word_type = np.add.reduceat(by_type, firsts, axis=0) / counts[:, None]
    best = word_type.argmax(axis=1)
    needed = thresholds[best]
    sure = word_type[np.arange(len(best)), best] >= LIKELIEST * needed
    taken = np.flatnonzero(sure & (word_type.sum(axis=1) >= np.minimum(TOGETHER, needed)))
    begins = (probabilities[firsts, 1::2].sum(axis=1) > BEGINS * probabilities[firsts, 2::2].sum(axis=1)).tolist()
    lasts = firsts + counts - 1
    found: list[ScoredSpan] = []
    words: list[int] = []

    def close() -> None:
        if words:
            mean = word_type[words].mean(axis=0)
            label = int(mean.argmax())
            if mean[label] >= thresholds[label]:
                start, end = int(tokens.start[firsts[words[0]]]), int(tokens.end[lasts[words[-1]]])
                found.extend(_trimmed(text, start, end, types[label], float(mean[label])))
            words.clear()

    kind = -1
    for k in taken.tolist():
        goes_on = words and k == words[-1] + 1 and not begins[k] and (best[k] == kind or word_type[k, kind] >= FOLLOWS)
        if not goes_on or text.count("\n", int(tokens.end[lasts[words[-1]]]), int(tokens.start[firsts[k]])) > 1:
            close()
            kind = int(best[k])
        words.append(k)
    close()
    return tuple(found)


def _trimmed(text: str, start: int, end: int, label: str, score: float) -> list[ScoredSpan]:
    before = (-1, -1)
    while before != (start, end):  # a bracket that goes on one side may free one on the other
        before = (start, end)
        while start < end and (text[end - 1] in _CLOSING or (text[end - 1] in ").]}" and not _kept(text, start, end))):
            end -= 1
        while start < end and text[start] in _OPENING and not _opens(text, start, end):
            start += 1
    return [ScoredSpan(start, end, label, round(min(score, 1.0), 4))] if start < end else []


def _opens(text: str, start: int, end: int) -> bool:
    """A bracket that closes inside the span belongs to it (``(555) 014-2277``), one around the span does not."""
    closing = {"(": ")", "[": "]", "{": "}"}.get(text[start])
    return closing is not None and start < text.find(closing, start, min(end - 1, start + _BRACKET_REACH))


def _kept(text: str, start: int, end: int) -> bool:
    """A closing bracket stays with its opening one, a full stop with an abbreviation or initial (``b.i.d.``, ``Anna S.``)."""
    last = text[end - 1]
    if last == ".":
        return end - start >= 3 and text[end - 2].isalpha() and (text[end - 3] in ". ")
    return {")": "(", "]": "[", "}": "{"}[last] in text[max(start, end - _BRACKET_REACH) : end - 1]
