"""No document on both sides: near duplicates by shared word sequences, and a split by document that never changes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from zlib import crc32

from training.data.document import Document

#: Words a sequence: two texts that share one of thirteen words have the same origin (the decontamination length of Brown et al. 2020).
SEQUENCE = 13
#: Share of a document's sequences that another may hold before both count as one document.
SAME = 0.5
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Overlap:
    """``share`` of the sequences of ``document`` (0 to 1) stand in ``other``."""

    document: str
    other: str
    share: float


def for_development(document_id: str, *, one_in: int = 10) -> bool:
    """Whether a document is kept for development, by a hash of its id: the same on every machine and in every run."""
    return crc32(document_id.encode()) % one_in == 0


def _sequences(document: Document) -> set[int]:
    words = _WORD.findall(document.text.lower())
    return {hash(tuple(words[k : k + SEQUENCE])) for k in range(max(1, len(words) - SEQUENCE + 1))}


def overlaps(documents: Iterable[Document], others: Iterable[Document], *, least: float = SAME) -> list[Overlap]:
    """For each document the other that holds most of it, where that is at least ``least``; linear in the texts' length."""
    holders: dict[int, list[str]] = defaultdict(list)
    for other in others:
        for sequence in _sequences(other):
            holders[sequence].append(other.id)
    found = []
    for document in documents:
        sequences = _sequences(document)
        counts: dict[str, int] = defaultdict(int)
        for sequence in sequences:
            for name in holders.get(sequence, ()):
                counts[name] += 1
        if counts:
            name = max(counts, key=lambda key: (counts[key], key))
            share = counts[name] / len(sequences)
            if share >= least:
                found.append(Overlap(document.id, name, round(share, 3)))
    return found


def without_duplicates(training: Sequence[Document], development: Sequence[Document]) -> tuple[list[Document], list[Overlap]]:
    """The training documents that are no near duplicates of a development document, and the overlaps that took the others out."""
    found = overlaps(training, development)
    gone = {overlap.document for overlap in found}
    return [d for d in training if d.id not in gone], found
