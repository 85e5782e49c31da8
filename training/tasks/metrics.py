"""Figures of text classification: by class, over all, with an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from training.data.document import LabelledText

Scores = dict[str, dict[str, float]]
_DRAWS = 500


def _f1(right: int, wrong: int, missed: int) -> float:
    return 2 * right / max(1, 2 * right + wrong + missed)


def class_scores(
    name: str,
    rows: Sequence[LabelledText],
    answers: Sequence[Mapping[str, float]],
    chosen: Sequence[frozenset[str]],
    labels: Sequence[str],
) -> Scores:
    """Precision, recall, F1, area under the ROC curve and support by class; micro and macro F1 under ``<name>-all``, with a 95 %
    bootstrap interval of micro F1 over texts. A text counts for the classes that its labels speak of."""
    found: Scores = {}
    for label in labels:
        asked = [k for k, row in enumerate(rows) if row.speaks_of(label)]
        gold = [label in rows[k].labels for k in asked]
        said = [label in chosen[k] for k in asked]
        right = sum(g and s for g, s in zip(gold, said, strict=True))
        wrong, missed = sum(said) - right, sum(gold) - right
        found[f"{name}-{label}"] = {
            "precision": round(right / max(1, right + wrong), 4),
            "recall": round(right / max(1, right + missed), 4),
            "f1": round(_f1(right, wrong, missed), 4),
            "auroc": round(area([answers[k].get(label, 0.0) for k in asked], gold), 4),
            "support": float(sum(gold)),
        }
    known = [frozenset(filter(row.speaks_of, one)) for row, one in zip(rows, chosen, strict=True)]
    counts = [(len(r.labels & c), len(c - r.labels), len(r.labels - c)) for r, c in zip(rows, known, strict=True)]
    random = Random(1)
    draws = sorted(_micro(random.choices(counts, k=len(counts))) for _ in range(_DRAWS))
    present = [figures["f1"] for figures in found.values() if figures["support"]]
    found[f"{name}-all"] = {
        "f1": round(_micro(counts), 4),
        "f1_low": round(draws[int(0.025 * _DRAWS)], 4),
        "f1_high": round(draws[int(0.975 * _DRAWS)], 4),
        "macro_f1": round(sum(present) / max(1, len(present)), 4),
        "support": float(sum(len(r.labels) for r in rows)),
        "texts": float(len(rows)),
    }
    return found


def _micro(counts: Sequence[tuple[int, int, int]]) -> float:
    return _f1(*(sum(column) for column in zip(*counts, strict=True)))


def area(scores: Sequence[float], gold: Sequence[bool]) -> float:
    """Area under the ROC curve: how often a right text scores above a wrong one, ties for a half; 0.5 where one side is empty."""
    ranked = sorted(range(len(scores)), key=lambda k: scores[k])
    ranks = [0.0] * len(scores)
    at = 0
    while at < len(ranked):
        end = at
        while end < len(ranked) and scores[ranked[end]] == scores[ranked[at]]:
            end += 1
        for k in ranked[at:end]:
            ranks[k] = (at + end + 1) / 2
        at = end
    yes, no = sum(gold), len(gold) - sum(gold)
    if not yes or not no:
        return 0.5
    return (sum(r for r, g in zip(ranks, gold, strict=True) if g) - yes * (yes + 1) / 2) / (yes * no)
