"""What people made of the results: how far scores can be believed, by reviewed labels, and how often clinicians set a flag aside.

Estimates are of the samples drawn by chance alone (reason ``random``); samples chosen because the model was unsure or contradicted itself say
little of the rest, and are counted apart.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from schemas.cards import CardFeedback
from schemas.labels import ReviewedLabel
from schemas.samples import Sample
from training.calibration import expected_calibration_error

_RULES = "rules/"
_ADJUDICATED = "adjudicated:"
#: Bins of the reliability diagram, equally wide.
BINS: Final = 10
_Z95 = 1.959964


class Share(msgspec.Struct, frozen=True):
    """``hits`` of ``of`` with the 95 % interval of Wilson (1927), which also holds near 0 and 1 and for few."""

    hits: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.hits / self.of if self.of else 0.0


class Bin(msgspec.Struct, frozen=True):
    """Mentions whose score is at least ``low``: how many, their mean score, the share that was right."""

    low: float
    count: int
    score: float
    right: float


class Reliability(msgspec.Struct, frozen=True, kw_only=True):
    """Of one model's mentions of one type (``all``: of every type). ``drawn``: of samples drawn by chance, else of the chosen ones.
    ``ece``: expected calibration error; ``brier``: mean squared distance of score and outcome. Both 0 to 1, 0 best."""

    entity_model: str
    type: str
    drawn: bool
    notes: int
    right: Share
    ece: float
    brier: float
    bins: tuple[Bin, ...]


class Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """Of the cards of one flag type that clinicians answered: how many were set aside, and why (codes)."""

    type: str
    overridden: Share
    reasons: dict[str, int]


def wilson(hits: int, of: int) -> Share:
    if not of:
        return Share(0, 0, 0.0, 1.0)
    share, wide = hits / of, _Z95 * _Z95 / of
    middle = (share + wide / 2) / (1 + wide)
    half = _Z95 * math.sqrt(share * (1 - share) / of + wide / (4 * of)) / (1 + wide)
    return Share(hits, of, max(0.0, middle - half), min(1.0, middle + half))


def reliability(samples: Iterable[Sample], labels: Iterable[ReviewedLabel]) -> list[Reliability]:
    """By model, type and way of choosing. A mention of a type that the reviewer annotated is right when a reviewed span has its place and type;
    rules have no score. Of several labels of a sample the one that settles them counts, else the newest."""
    standing = _newest(labels)
    found: dict[tuple[str, str, bool], list[tuple[float, bool]]] = defaultdict(list)
    notes: dict[tuple[str, str, bool], set[str]] = defaultdict(set)
    for sample in samples:
        label = standing.get(sample.id)
        if label is None or label.note.sha256 != sample.note.sha256:
            continue
        places = {(span.start, span.end, span.type) for span in label.spans}
        for mention in sample.mentions:
            if mention.type in label.annotated and not mention.source.startswith(_RULES):
                for name in ("all", mention.type):
                    key = (sample.versions.entity_model, name, sample.reason == "random")
                    found[key].append((mention.score, (mention.start, mention.end, mention.type) in places))
                    notes[key].add(sample.id)
    return [_reliability(key, found[key], len(notes[key])) for key in sorted(found, key=lambda key: (key[0], not key[2], key[1]))]


def _newest(labels: Iterable[ReviewedLabel]) -> Mapping[str, ReviewedLabel]:
    found: dict[str, ReviewedLabel] = {}
    for label in labels:
        held = found.get(label.sample)
        if held is None or _weight(label) >= _weight(held):
            found[label.sample] = label
    return found


def _weight(label: ReviewedLabel) -> tuple[bool, str]:
    return label.reviewer.startswith(_ADJUDICATED), label.decided


def _reliability(key: tuple[str, str, bool], rows: list[tuple[float, bool]], notes: int) -> Reliability:
    model, name, drawn = key
    scores, right = [score for score, _ in rows], [hit for _, hit in rows]
    binned: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for score, hit in rows:
        binned[min(BINS - 1, int(score * BINS))].append((score, hit))
    return Reliability(
        entity_model=model,
        type=name,
        drawn=drawn,
        notes=notes,
        right=wilson(sum(right), len(right)),
        ece=expected_calibration_error(scores, right, BINS),
        brier=sum((score - hit) ** 2 for score, hit in rows) / len(rows),
        bins=tuple(
            Bin(number / BINS, len(part), sum(s for s, _ in part) / len(part), sum(h for _, h in part) / len(part))
            for number, part in sorted(binned.items())
        ),
    )


def overrides(answers: Iterable[CardFeedback]) -> list[Overrides]:
    """By flag type, most overridden first. What became of a card last counts."""
    last: dict[str, CardFeedback] = {}
    for answer in answers:
        held = last.get(answer.card)
        if held is None or answer.time >= held.time:
            last[answer.card] = answer
    by_type: dict[str, list[CardFeedback]] = defaultdict(list)
    for answer in last.values():
        by_type[answer.type or "unknown"].append(answer)
    found = []
    for name, rows in by_type.items():
        gone = [row for row in rows if row.outcome == "overridden"]
        reasons = dict(Counter(row.reason or "none given" for row in gone).most_common())
        found.append(Overrides(type=name, overridden=wilson(len(gone), len(rows)), reasons=reasons))
    return sorted(found, key=lambda row: (-row.overridden.value, row.type))
