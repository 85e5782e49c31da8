"""From any tool's spans to a document: labels translated, offsets checked, nothing guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from training.data.document import Document, GoldSpan, flatten
from training.data.errors import DataError
from training.data.labels import LabelMap, types_of


@dataclass(frozen=True, slots=True)
class Raw:
    """One annotation as a file states it: characters ``[start, end)`` (code points) and its label."""

    start: int
    end: int
    label: str


@dataclass(slots=True)
class Translator:
    """Makes documents by one label map; ``strangers`` counts labels that the map does not list (they become unknown)."""

    labels: LabelMap
    strangers: Counter[str] = field(default_factory=Counter)

    def document(self, name: str, text: str, raw: Iterable[Raw], path: Path, line: int = 0) -> Document:
        """A document in which every type of the map is annotated completely, outside of unknown ranges.

        Raises:
            DataError: ``offset``: a span is empty or leaves its text.
        """
        spans: list[GoldSpan] = []
        unknown: list[tuple[int, int]] = []
        for one in raw:
            if not 0 <= one.start < one.end <= len(text):
                raise DataError("offset", path, line)
            if one.label not in self.labels:
                self.strangers[one.label] += 1
            types = self.labels.get(one.label)
            if types is None:
                unknown.append((one.start, one.end))
            elif types:
                spans.append(GoldSpan(one.start, one.end, types))
        return Document(name, text, flatten(spans), types_of(self.labels), tuple(unknown))
