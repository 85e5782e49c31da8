"""Which words a span rests on: each word is blanked in turn, all variants go through the tagger in one call."""

from __future__ import annotations

import re
from dataclasses import dataclass

from models.decoding import ScoredSpan
from models.tagger import Tagger

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class WordDrop:
    """Characters ``[start, end)``; ``drop``: what the span's score loses without the word. Negative: the word spoke against it."""

    start: int
    end: int
    drop: float


def leave_one_out(tagger: Tagger, text: str, span: ScoredSpan) -> tuple[WordDrop, ...]:
    """Every word of ``text``, the largest drop first. A span that falls under its threshold counts as 0, so drops are at most its score."""
    words = [match.span() for match in _WORD.finditer(text)]
    variants = [text[:start] + "_" * (end - start) + text[end:] for start, end in words]
    drops = [
        WordDrop(start, end, round(span.score - _score(found, span), 4))
        for (start, end), found in zip(words, tagger.tag_many(variants), strict=True)
    ]
    return tuple(sorted(drops, key=lambda row: (-row.drop, row.start)))


def _score(found: tuple[ScoredSpan, ...], span: ScoredSpan) -> float:
    return max(
        (one.score for one in found if one.label == span.label and one.start < span.end and span.start < one.end), default=0.0
    )
