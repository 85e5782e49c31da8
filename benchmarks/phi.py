"""Free-text de-identification on ASQ-PHI and presidio-research: ``python -m benchmarks.phi [--bundle DIR] [--sweep] [--record]``.

The shipped PHI model alone, the pattern recognizers alone, and both together as the pipeline joins them. Both sets are for
evaluation only. ``--sweep`` shows recall against disturbed hard negatives at several thresholds, on the halves that were read
while developing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agents.deidentify.text.model import ModelLayer
from agents.deidentify.text.scrub import find
from benchmarks.public_data import data_folder
from models.bundle import shelf_bundle
from models.decoding import FloatArray, ScoredSpan, softmax, spans_of
from models.tagger import Tagger
from models.tokens import WordPieces
from training.phi.evaluation import Scores, TagMany, asq_halves, asq_scores, phi_scores, presidio_halves, presidio_scores

RESULTS = Path(__file__).with_name("results") / "phi.json"
THRESHOLDS = (0.5, 0.35, 0.25, 0.15, 0.1, 0.05, 0.03)
SHOWN = ("asq-phi-first-half", "asq-phi-second-half", "presidio-research-first-half", "presidio-research-second-half")


class _Kept:
    """Says what the model said about texts under one threshold; the logits are worked out once."""

    version = "kept"

    def __init__(self, tagger: Tagger, folder: Path, texts: Sequence[str]) -> None:
        pieces = WordPieces(folder / "tokenizer.json")
        self._types = tagger.manifest.entity_types
        self._known = {text: (pieces(text), softmax(tagger.logits(text))) for text in texts}
        self._thresholds: FloatArray = np.zeros(len(self._types), dtype=np.float32)

    def at(self, threshold: float) -> _Kept:
        """The same under another threshold, one for all types."""
        self._thresholds = np.full(len(self._types), threshold, dtype=np.float32)
        return self

    def tag_many(self, texts: Sequence[str]) -> list[tuple[ScoredSpan, ...]]:
        return [spans_of(text, *self._known[text], self._types, self._thresholds) for text in texts]


def with_rules(tagger: Tagger | _Kept | None) -> TagMany:
    """The recognizers, joined with what a model finds as the pipeline does (``None``: the recognizers alone)."""

    def tag_many(texts: list[str]) -> list[tuple[ScoredSpan, ...]]:
        guesses = ModelLayer(tagger).find_all(texts) if tagger else {}
        return [
            tuple(ScoredSpan(r.start, r.end, r.type, r.score) for r in find(text, guesses=guesses.get(text, ())))
            for text in texts
        ]

    return tag_many


def sweep(tagger: Tagger, folder: Path, data: Path) -> list[dict[str, float]]:
    """One row a threshold, first halves alone: recall and disturbed negatives of the model, and of model and rules."""
    queries, rows = asq_halves(data)[0], presidio_halves(data)[0]
    kept = _Kept(tagger, folder, [query for query, _ in queries] + [row["full_text"] for row in rows])
    table = []
    for threshold in THRESHOLDS:
        row = {"threshold": threshold}
        for name, tag_many in (("model", kept.at(threshold).tag_many), ("both", with_rules(kept.at(threshold)))):
            asq, presidio = asq_scores(tag_many, queries), presidio_scores(tag_many, rows)
            row |= {
                f"{name}_asq_recall": asq["recall_covered"],
                f"{name}_asq_negatives_touched": asq["negatives_touched"],
                f"{name}_presidio_recall": presidio["character_recall"],
                f"{name}_presidio_left_alone": presidio["characters_left_alone"],
            }
        table.append(row)
    return table


def _print(name: str, scores: Scores) -> None:
    for part in SHOWN:
        row = scores[part]
        keys = (
            "recall_covered",
            "recall_touched",
            "negatives_touched",
            "character_recall",
            "character_recall_without_years",
            "characters_left_alone",
        )
        print(f"{name:12} {part:30} " + "  ".join(f"{k} {row[k]:.4f}" for k in keys if k in row))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, help="bundle folder; the newest on the shelf when not given")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--sweep", action="store_true", help="several thresholds, on the first halves")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.name}")
    arguments = parser.parse_args()
    folder = arguments.bundle or shelf_bundle("wardstream-phi")
    with Tagger.load(folder) as tagger:
        if arguments.sweep:
            for row in sweep(tagger, folder, arguments.data):
                print("  ".join(f"{k} {v:.4f}" for k, v in row.items()))
        named: list[tuple[str, TagMany]] = [
            ("model", lambda texts: tagger.tag_many(texts)),
            ("rules", with_rules(None)),
            ("model+rules", with_rules(tagger)),
        ]
        result: dict[str, object] = {"bundle": tagger.version}
        for name, tag_many in named:
            scores = phi_scores(tag_many, arguments.data)
            _print(name, scores)
            result[name] = scores
    if arguments.record:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
