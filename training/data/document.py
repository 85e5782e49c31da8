"""The annotated document that every reader and generator gives.

Corpora annotate only some of the product's types. A document therefore says which types it annotates *completely*
(``annotated``): outside its spans nothing is of these types, while any other type may stand there unmarked. ``unknown``
marks stretches about which the annotation says nothing at all.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GoldSpan:
    """Characters ``[start, end)`` of the text; ``types`` holds more than one where the corpus does not tell them apart."""

    start: int
    end: int
    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """One text with its gold spans (sorted, not overlapping).

    Args:
        id: stable within its corpus.
        text: the text; offsets are Python code points.
        spans: gold spans.
        annotated: types of which every occurrence is marked.
        unknown: character ranges without any statement.
    """

    id: str
    text: str
    spans: tuple[GoldSpan, ...]
    annotated: frozenset[str]
    unknown: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class LabelledText:
    """One text with its classes (none, one, or several); ``numbers`` in the order of the task's inputs, NaN where missing.

    ``judged``: the classes that the labels speak of; None: of all. Of any other class it is not known whether it holds.
    """

    id: str
    text: str
    labels: frozenset[str]
    numbers: tuple[float, ...] = ()
    judged: frozenset[str] | None = None

    def speaks_of(self, label: str) -> bool:
        """Whether it is known if the class ``label`` holds."""
        return self.judged is None or label in self.judged


@dataclass(frozen=True, slots=True)
class TextPair:
    """What a sequence-to-sequence model reads and what it should write."""

    id: str
    source: str
    target: str


def flatten(spans: list[GoldSpan]) -> tuple[GoldSpan, ...]:
    """Sort spans and drop empty ones and those overlapping a longer (then earlier) one."""
    kept: list[GoldSpan] = []
    for span in sorted(spans, key=lambda s: (s.start - s.end, s.start)):
        if span.start < span.end and all(span.end <= k.start or span.start >= k.end for k in kept):
            kept.append(span)
    return tuple(sorted(kept, key=lambda s: s.start))
