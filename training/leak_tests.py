"""What a bundle lets out: identifiers that a PHI model leaves, identifiers that an entity model passes on, and notes that a bundle quotes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from models.decoding import ScoredSpan
from training.data.document import Document
from training.scoring import covered

#: So many words of a reviewed note in a row, in a file that travels with the weights, are a quotation and no turn of phrase.
_QUOTED_WORDS: Final = 6
_WORD: Final = re.compile(r"\w+")
_TEXT_FILES: Final = (".json", ".md", ".txt")


def uncovered(documents: Sequence[Document], predicted: Sequence[Sequence[ScoredSpan]]) -> int:
    """Identifiers of which a letter or digit is left in clear by a PHI model."""
    return sum(
        not covered(document.text, gold.start, gold.end, spans)[1]
        for document, spans in zip(documents, predicted, strict=True)
        for gold in document.spans
    )


def passed_on(documents: Sequence[Document], predicted: Sequence[Sequence[ScoredSpan]]) -> int:
    """Identifiers that an entity model takes for a mention: one that de-identification missed would stand in findings, codes and flags too."""
    return sum(
        any(span.start < gold.end and gold.start < span.end for span in spans)
        for document, spans in zip(documents, predicted, strict=True)
        for gold in document.spans
    )


def quoted(folder: Path, notes: Iterable[str]) -> int:
    """Runs of six words of reviewed notes that stand in the bundle's text files (golden answers, card, manifest): patients' text would travel with
    the weights to wherever the bundle goes."""
    words = {
        run
        for path in sorted(folder.iterdir())
        if path.suffix in _TEXT_FILES and path.name != "tokenizer.json"
        for run in _runs(path.read_text(encoding="utf-8"))
    }
    return len({run for note in notes for run in _runs(note)} & words)


def _runs(text: str) -> Iterable[tuple[str, ...]]:
    words = [word.lower() for word in _WORD.findall(text)]
    return (tuple(words[k : k + _QUOTED_WORDS]) for k in range(len(words) - _QUOTED_WORDS + 1))
