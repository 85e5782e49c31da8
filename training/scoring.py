"""Strict span scores, and the coverage measures of de-identification. No torch, no numpy."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from models.decoding import ScoredSpan
from training.data.document import Document

_TITLE = re.compile(r"\b(?:Dr|Mr|Mrs|Ms|Miss|Prof|MD|RN|Jr|Sr)\b\.?", re.IGNORECASE)


@dataclass(slots=True)
class Counts:
    """Matches of one type; precision, recall and F1 are 0 where nothing was expected or found."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    @property
    def precision(self) -> float:
        return self.right / max(1, self.right + self.wrong)

    @property
    def recall(self) -> float:
        return self.right / max(1, self.right + self.missed)

    @property
    def f1(self) -> float:
        return 2 * self.right / max(1, 2 * self.right + self.wrong + self.missed)


def strict(documents: Sequence[Document], predicted: Sequence[Iterable[ScoredSpan]]) -> dict[str, Counts]:
    """Counts by type and under ``all``: a span is right when start, end and type agree.

    A gold span of several possible types takes any of them and counts under their names joined by ``|``. Predictions of types
    that a document does not annotate, or inside its unknown ranges, are not counted.
    """
    counts: dict[str, Counts] = defaultdict(Counts)
    groups = {name: "|".join(s.types) for d in documents for s in d.spans for name in s.types}
    for document, spans in zip(documents, predicted, strict=True):
        gold = {(s.start, s.end): s.types for s in document.spans}
        found = set()
        for span in spans:
            types = gold.get((span.start, span.end), ())
            if span.label in types:
                found.add((span.start, span.end))
                group, field = "|".join(types), "right"
            elif span.label not in document.annotated or any(span.start < e and span.end > s for s, e in document.unknown):
                continue
            else:
                group, field = groups.get(span.label, span.label), "wrong"
            for name in (group, "all"):
                setattr(counts[name], field, getattr(counts[name], field) + 1)
        for place, types in gold.items():
            if place not in found:
                for name in ("|".join(types), "all"):
                    counts[name].missed += 1
    return dict(counts)


def cohen_kappa(pairs: Mapping[tuple[str, str], int]) -> float | None:
    """Agreement of two judges beyond chance (Cohen 1960, doi 10.1177/001316446002000104), 1 at most.

    ``pairs`` counts the things that the first called one name and the second another; ``None`` where there are none, or chance alone agrees fully.
    """
    total = sum(pairs.values())
    first: Counter[str] = Counter()
    second: Counter[str] = Counter()
    for (one, other), number in pairs.items():
        first[one] += number
        second[other] += number
    chance = sum(first[name] * second[name] for name in first)
    if total == 0 or chance == total * total:
        return None
    agreed = sum(number for (one, other), number in pairs.items() if one == other)
    return (agreed * total - chance) / (total * total - chance)


def touched(documents: Sequence[Document], predicted: Sequence[Iterable[ScoredSpan]], group: str = "all") -> float:
    """Share of gold spans that a prediction of one of their types overlaps; ``group`` as in ``strict``."""
    hit = total = 0
    for document, spans in zip(documents, predicted, strict=True):
        given = list(spans)
        for gold in document.spans:
            if group in ("all", "|".join(gold.types)):
                total += 1
                hit += any(s.label in gold.types and s.start < gold.end and s.end > gold.start for s in given)
    return hit / max(1, total)


def bootstrap_f1(
    documents: Sequence[Document], predicted: Sequence[Sequence[ScoredSpan]], *, draws: int, seed: int
) -> tuple[float, float]:
    """95 % interval of the overall F1 over resampled documents."""
    random = Random(seed)
    one = [strict([d], [p]).get("all", Counts()) for d, p in zip(documents, predicted, strict=True)]
    values = []
    for _ in range(draws):
        drawn = random.choices(one, k=len(one))
        values.append(Counts(sum(c.right for c in drawn), sum(c.wrong for c in drawn), sum(c.missed for c in drawn)).f1)
    values.sort()
    return values[int(0.025 * draws)], values[int(0.975 * draws)]


def covered(text: str, start: int, end: int, spans: Iterable[ScoredSpan]) -> tuple[bool, bool]:
    """Whether spans touch, and whether they cover, the letters and digits of ``[start, end)`` (titles and degrees aside)."""
    titles = {start + k for match in _TITLE.finditer(text[start:end]) for k in range(*match.span())}
    wanted = {k for k in range(start, end) if text[k].isalnum()} - titles
    hit = {k for span in spans for k in range(max(start, span.start), min(end, span.end))}
    return bool(wanted & hit), wanted <= hit
