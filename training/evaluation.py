"""Scores of a checkpoint's graphs on the development sets of its task, through the serving code."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from models.bundle import TOKENIZER, Manifest
from models.classifier import Classifier
from models.decoding import ScoredSpan
from models.embedder import Embedder
from models.generator import Generator
from models.tagger import Tagger
from models.tokens import WordPieces
from training.bundle import Opened, copy_graphs, manifest_of, open_bundle
from training.calibration import calibrate
from training.data.alignment import align
from training.data.corpora import data_folder, entity_development
from training.data.document import Document
from training.examples import TEXT_TASKS, annotated_documents, text_development
from training.gate import Scores
from training.phi.corpus import PhiTexts
from training.phi.evaluation import phi_scores
from training.recipe import Recipe
from training.scoring import strict
from training.tasks import entities, explanations, names
from training.torch_tagger import TorchTagger

_SENTENCE = "The patient reports chest pain and shortness of breath for three days and takes metoprolol 25 mg daily. "
_NOTE_PIECES = 600


def scores_of(recipe: Recipe, suffix: str, *, threads: int = 1) -> Scores:
    """Scores of one set of graphs beside the checkpoint: ``suffix`` is empty for int8, ``.fp32`` for full precision."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        copy_graphs(recipe.checkpoint, folder, suffix)
        with open_bundle(folder, manifest_of(folder, recipe, "0.0.0", {}), threads) as opened:
            return _scores(opened, recipe) | {"calibration": calibration(opened, recipe), "speed": speed(opened)}


def scores_of_checkpoint(recipe: Recipe) -> Scores:
    """Scores of a checkpoint of a token task that has no graphs: teachers, and what was trained on another machine."""
    tagger = TorchTagger.load(recipe.checkpoint, window=recipe.window_tokens, overlap=recipe.window_overlap)

    def tag_many(texts: list[str]) -> list[tuple[ScoredSpan, ...]]:
        return tagger.tag_many(texts, recipe.types, recipe.thresholds, recipe.temperature)

    return _token_scores(tag_many, recipe)


def scores_of_bundle(folder: Path, manifest: Manifest, recipe: Recipe) -> Scores:
    """Scores of a bundle that lies on a shelf, on today's development sets: those that it carries may be of older ones."""
    with open_bundle(folder, manifest) as opened:
        return _scores(opened, recipe)


def calibration(opened: Opened, recipe: Recipe) -> dict[str, float]:
    """The temperature that the recipe should state, and the calibration error before and after it (``training.calibration``).

    Entities are calibrated on MACCROBAT, the one corpus that marks nearly every type, and on pieces inside or beside a mention: the others
    are too easy. Nothing for generation.
    """
    logits, targets = [], []
    if isinstance(opened, Classifier):
        for rows in text_development(recipe).values():
            for row in (row for row in rows if row.judged is None):
                answer = opened.logits(row.text, row.numbers or None)
                logits.append(answer.max(axis=0, keepdims=True))
                targets.append(np.array([[name in row.labels for name in opened.manifest.labels]], dtype=np.float32))
    elif isinstance(opened, Tagger):
        pieces = WordPieces(recipe.checkpoint / TOKENIZER)
        for document in calibration_documents(recipe):
            answer, weight = opened.logits(document.text), align(document, pieces, recipe.types).weight
            kept = (answer.argmax(-1) > 0) | (weight[:, 1:] == 1).any(-1) & (weight[:, 0] == 0)
            if kept.any():
                logits.append(answer[kept])
                targets.append((weight[kept] == 1).astype(np.float32))
    if len(logits) < 2:
        return {}
    found = calibrate(logits, targets, multi_label=opened.manifest.multi_label)
    return {"temperature": found.temperature, "ece": round(found.before, 4), "ece_calibrated": round(found.after, 4)}


def calibration_documents(recipe: Recipe) -> list[Document]:
    """Development documents of a token task whose labels are complete."""
    if not recipe.corpora:
        return [document for rows in annotated_documents(recipe.development).values() for document in rows]
    if recipe.task == "entities":
        return entity_development(data_folder())["maccrobat"]
    return PhiTexts(data_folder(), "dev", 98).injected(60)


def _scores(opened: Opened, recipe: Recipe) -> Scores:
    data = data_folder()
    if isinstance(opened, Tagger):
        return _token_scores(opened.tag_many, recipe)
    if isinstance(opened, Classifier):
        module = TEXT_TASKS[recipe.task]
        found: Scores = {}
        for name, rows in text_development(recipe).items():
            answers = opened.classify_many([r.text for r in rows], [r.numbers for r in rows])
            chosen = [frozenset(opened.labels_of(answer)) for answer in answers]
            found |= module.scores(name, rows, answers, chosen)
        return found
    if isinstance(opened, Embedder):
        return names.scores(opened.embed, names.read(Path(recipe.names)), recipe.documents)
    found = {}
    for name, pairs in explanations.development(data, seed=recipe.seed).items():
        found |= explanations.scores(name, pairs, [opened.generate(pair.source) for pair in pairs])
    return found


def _token_scores(tag_many: entities.TagMany, recipe: Recipe) -> Scores:
    """On the development parts of the task's corpora, and on the recipe's own texts."""
    found: Scores = {}
    if recipe.corpora:
        found = (entities.scores if recipe.task == "entities" else phi_scores)(tag_many, data_folder())
    for name, documents in annotated_documents(recipe.development).items():
        counts = strict(documents, tag_many([d.text for d in documents]))
        found |= {f"{name}-{group}": entities.figures(rows) for group, rows in sorted(counts.items())}
    return found


def speed(opened: Opened) -> dict[str, float]:
    """Notes of 600 word pieces a second on one thread: the best of 30, since other work on the machine only slows it."""
    if isinstance(opened, (Generator, Embedder)):
        return {}
    values = [[n.mean for n in opened.manifest.numbers]]
    pieces = opened.logits(_SENTENCE).shape[0] if isinstance(opened, Tagger) else 24
    note = _SENTENCE * (_NOTE_PIECES // pieces)
    best = float("inf")
    for _ in range(30):
        began = time.perf_counter()
        if isinstance(opened, Tagger):
            opened.tag(note)
        else:
            opened.classify_many([note], values)
        best = min(best, time.perf_counter() - began)
    return {"notes_of_600_pieces_per_second": round(1 / best, 1)}
