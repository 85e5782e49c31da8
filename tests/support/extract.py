"""A tagger for tests of the extraction step: finds listed words, as a model would, without a model's weight or doubt."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tagged:
    start: int
    end: int
    label: str
    score: float = 0.9


class WordTagger:
    """``words`` maps a literal word or phrase to its label."""

    version = "words-1"

    def __init__(self, words: Mapping[str, str]) -> None:
        self._words = dict(words)
        self.calls: list[list[str]] = []

    def tag_many(self, texts: Sequence[str]) -> list[list[Tagged]]:
        self.calls.append(list(texts))
        return [self._tag(text) for text in texts]

    def close(self) -> None:
        """Nothing is held."""

    def _tag(self, text: str) -> list[Tagged]:
        return sorted(
            (
                Tagged(match.start(), match.end(), label)
                for word, label in self._words.items()
                for match in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE)
            ),
            key=lambda span: span.start,
        )
