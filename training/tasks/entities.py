"""Clinical entities: what the entity model is taught, and how it is scored on parts of the corpora that it did not see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from models.decoding import ScoredSpan
from training.data.corpora import entity_development, entity_training
from training.data.document import Document, GoldSpan
from training.data.template import recase
from training.scoring import Counts, bootstrap_f1, strict, touched

Scores = dict[str, dict[str, float]]
TagMany = Callable[[list[str]], Sequence[Sequence[ScoredSpan]]]
_DRAWS = 500


def figures(counts: Counts) -> dict[str, float]:
    """Precision, recall, F1 and support, as manifests state them."""
    return {
        "precision": round(counts.precision, 4),
        "recall": round(counts.recall, 4),
        "f1": round(counts.f1, 4),
        "support": float(counts.right + counts.missed),
    }


def _shouted(documents: list[Document]) -> list[Document]:
    """The documents in capitals, as old laboratory and radiology systems write."""
    return [Document(d.id, recase(d.text, [], str.upper)[0], d.spans, d.annotated, d.unknown) for d in documents]


def _seen(data: Path) -> frozenset[str]:
    """Mentions of the training parts, small letters."""
    training = entity_training(data, orders=0, seed=0)
    return frozenset(d.text[s.start : s.end].lower() for documents in training.values() for d in documents for s in d.spans)


def scores(tag_many: TagMany, data: Path) -> Scores:
    """Strict P, R and F1 on BC5CDR and NCBI development and held-out MACCROBAT reports, with 95 % bootstrap intervals, and the share
    of gold mentions that a span of their type touches.

    PHEE development gives recall alone, strict and touched: it marks only the arguments of events. Subgroups: BC5CDR in capitals,
    and recall over mentions that stand nowhere in the training parts.
    """
    seen = _seen(data)
    found: Scores = {}
    for name, documents in entity_development(data).items():
        predicted = tag_many([d.text for d in documents])
        by_type = strict(documents, predicted)
        if name == "phee":
            for group, counts in sorted(by_type.items()):
                share = touched(documents, predicted, group)
                found[f"phee-{group}"] = {
                    "recall": round(counts.recall, 4),
                    "touched": round(share, 4),
                    "support": float(counts.right + counts.missed),
                }
            continue
        for group, counts in sorted(by_type.items()):
            found[f"{name}-{group}"] = figures(counts)
        low, high = bootstrap_f1(documents, predicted, draws=_DRAWS, seed=1)
        overlap = round(touched(documents, predicted), 4)
        found[f"{name}-all"] |= {"f1_low": round(low, 4), "f1_high": round(high, 4), "touched": overlap}
        found[f"{name}-unseen"] = _unseen(documents, predicted, seen)
        if name == "bc5cdr":
            loud = _shouted(documents)
            found["bc5cdr-capitals"] = figures(strict(loud, tag_many([d.text for d in loud]))["all"])
    return found


def _unseen(documents: Sequence[Document], predicted: Sequence[Sequence[ScoredSpan]], seen: frozenset[str]) -> dict[str, float]:
    hit = total = 0
    for document, spans in zip(documents, predicted, strict=True):
        answers = {(s.start, s.end): s.label for s in spans}
        for gold in document.spans:
            if _words(document, gold) not in seen:
                total += 1
                hit += answers.get((gold.start, gold.end)) in gold.types
    return {"recall": round(hit / max(1, total), 4), "support": float(total)}


def _words(document: Document, span: GoldSpan) -> str:
    return document.text[span.start : span.end].lower()
