"""Quality after each round of labelling: notes that the model is least sure of against notes drawn at random, at the same budget of text.

    python -m benchmarks.rounds [--record]      # in .venv-train; about 20 minutes of one core

The stream is the training parts of NCBI, BC5CDR and MACCROBAT, its reviewers are their annotators; quality is strict F1 on the development
parts. After each round the model is trained anew from the same encoder on everything labelled so far, so that rounds differ in their texts
alone. Beside the two strategies of the stream (``surest last`` is what ``agents.feedback`` proposes by: the lowest score of a mention) stands
one of the literature: the mean uncertainty of all word pieces (after Shen et al. 2018), which sees what the model passed over, too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from models.decoding import ScoredSpan, softmax, spans_of
from models.tokens import WordPieces
from training.batches import Batch
from training.data.alignment import Example, align
from training.data.corpora import data_folder, entity_development, entity_training
from training.data.document import Document
from training.data.splits import without_duplicates
from training.dropout import use_sequence_dropout
from training.examples import TokenTask
from training.families import family
from training.families import run as forward
from training.loop import fit
from training.recipe import Recipe
from training.scoring import Counts, strict
from training.start import start, tokenizer_of
from training.torch_tagger import TorchTagger

RESULTS = Path(__file__).with_name("results") / "rounds.json"
PLOT = Path(__file__).resolve().parent.parent / "docs" / "explanation" / "loop-rounds.svg"
CORPORA = ("ncbi", "bc5cdr", "maccrobat")
#: Characters that a reviewer reads before the first round, and in each round.
FIRST, BUDGET, ROUNDS = 20_000, 15_000, 3
#: Documents that the stream brings, and documents of each development part that are scored: drawn once, for time.
POOL, SCORED = 360, 45
_THRESHOLD = 0.45  # of every type, as in the shipped bundle
STRATEGIES = ("random", "lowest score", "mean uncertainty")


@dataclass(frozen=True, slots=True)
class Pool:
    """Documents and their word pieces, in one order."""

    documents: list[Document]
    examples: list[Example]


def recipe_of(seed: int, out: str) -> Recipe:
    """Two layers of the encoder that ships as a Python package."""
    return Recipe(
        name="rounds", task="entities", seed=seed, layers=(0, 2), epochs=14.0, learning_rate=8e-4, batch_tokens=1024,
        lengths=(128,), precision="no", recase_share=0.0, out=out,
    )  # fmt: skip


def trained(recipe: Recipe, pieces: WordPieces, examples: list[Example]) -> TorchTagger:
    """A model of these examples alone."""
    task = TokenTask(recipe, pieces, {"labelled": examples})
    chosen = family(recipe.family)
    model = start(recipe, task)
    use_sequence_dropout(model, recipe.dropout)
    model.bert.embeddings.word_embeddings.requires_grad_(
        False
    )  # three quarters of the weights; the texts are too few to teach them

    def loss_of(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        return task.loss(forward(chosen, model, batch)[1], batch)

    model = fit(model, task.epoch, recipe, loss_of)
    return TorchTagger(chosen, model, pieces, recipe.window_tokens, recipe.window_overlap, half=False)


def quality(tagger: TorchTagger, recipe: Recipe, development: dict[str, list[Document]]) -> dict[str, float]:
    """Strict F1 by corpus, and their mean."""
    thresholds = dict.fromkeys(recipe.types, _THRESHOLD)
    found = {
        name: strict(rows, tagger.tag_many([d.text for d in rows], recipe.types, thresholds)).get("all", Counts()).f1
        for name, rows in development.items()
    }
    return {name: round(value, 4) for name, value in (found | {"mean": statistics.mean(found.values())}).items()}


def informative(strategy: str, tagger: TorchTagger, recipe: Recipe, documents: Sequence[Document], random: Random) -> list[float]:
    """How much each document would teach by the strategy; more is more."""
    if strategy == "random":
        return [random.random() for _ in documents]
    least = np.full(len(recipe.types), _THRESHOLD, dtype=np.float32)
    tokens, logits = tagger.logits([d.text for d in documents])
    values: list[float] = []
    for document, found, rows in zip(documents, tokens, logits, strict=True):
        chances = softmax(rows)
        if strategy == "mean uncertainty":
            values.append(float((1 - chances.max(axis=1)).mean()) if len(chances) else 0.0)
            continue
        spans: Sequence[ScoredSpan] = spans_of(document.text, found, chances, recipe.types, least)
        values.append(1 - min((span.score for span in spans), default=1.0))
    return values


def chosen(values: Sequence[float], documents: Sequence[Document], left: Sequence[int], budget: int) -> list[int]:
    """The most informative of ``left`` until the reviewer has read ``budget`` characters."""
    taken, read = [], 0
    for at, _ in sorted(zip(left, values, strict=True), key=lambda row: (-row[1], row[0])):
        if read >= budget:
            break
        taken.append(at)
        read += len(documents[at].text)
    return taken


def study(seeds: Sequence[int], say: Callable[[str], None], kept: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The curves of every seed and strategy; ``kept`` is given what there is after each seed."""
    data = data_folder()
    every = entity_development(data)
    development = {name: Random(0).sample(every[name], min(SCORED, len(every[name]))) for name in CORPORA}
    apart = [d for name in CORPORA for d in every[name]]
    training = entity_training(data, orders=0, seed=0)
    whole = [d for name in CORPORA for d in without_duplicates(training[name], apart)[0]]
    documents = Random(0).sample(whole, POOL)
    runs = []
    with tempfile.TemporaryDirectory() as out:
        pieces = WordPieces(tokenizer_of(recipe_of(0, out)))
        pool = Pool(documents, [align(d, pieces, recipe_of(0, out).types) for d in documents])
        for seed in seeds:
            recipe = recipe_of(seed, out)
            random = Random(seed)
            shuffled = random.sample(range(len(documents)), len(documents))
            first = chosen([-float(k) for k in range(len(shuffled))], documents, shuffled, FIRST)
            base = trained(recipe, pieces, [pool.examples[k] for k in first])
            start_quality = quality(base, recipe, development)
            for strategy in STRATEGIES:
                labelled, tagger, curve = list(first), base, [start_quality]
                for number in range(1, ROUNDS + 1):
                    began = time.monotonic()
                    have = set(labelled)
                    left = [k for k in range(len(documents)) if k not in have]
                    values = informative(strategy, tagger, recipe, [documents[k] for k in left], Random(f"{seed}/{number}"))
                    labelled += chosen(values, documents, left, BUDGET)
                    tagger = trained(recipe, pieces, [pool.examples[k] for k in labelled])
                    curve.append(quality(tagger, recipe, development))
                    say(f"seed {seed} {strategy} round {number}: {curve[-1]} {time.monotonic() - began:.0f} s")
                characters = sum(len(documents[k].text) for k in labelled)
                runs.append(
                    {"seed": seed, "strategy": strategy, "characters": characters, "documents": len(labelled), "curve": curve}
                )
            kept(_result(seeds[: seeds.index(seed) + 1], runs, len(documents)))
    return _result(seeds, runs, len(documents))


def _result(seeds: Sequence[int], runs: Sequence[dict[str, Any]], documents: int) -> dict[str, Any]:
    return {
        "first_characters": FIRST, "characters_a_round": BUDGET, "pool_documents": documents, "seeds": list(seeds),
        "model": "2 of 6 layers of all-MiniLM-L6-v2, word embeddings fixed, trained anew each round",
        "runs": list(runs), "summary": summary(runs),
    }  # fmt: skip


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean F1 by strategy and round, and how it stands to chance after the last round, seed by seed."""
    found: dict[str, Any] = {}
    for strategy in STRATEGIES:
        mine = [run for run in runs if run["strategy"] == strategy]
        found[strategy] = {
            "f1_by_round": [round(statistics.mean(r["curve"][k]["mean"] for r in mine), 4) for k in range(ROUNDS + 1)]
        }
        chance = {run["seed"]: run for run in runs if run["strategy"] == "random"}
        gains = [round(run["curve"][-1]["mean"] - chance[run["seed"]]["curve"][-1]["mean"], 4) for run in mine]
        found[strategy]["gain_over_random"] = gains
    return found


def plot(result: dict[str, Any], path: Path) -> None:
    """The curves: the mean of the seeds thick, each seed thin."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    matplotlib.rcParams["svg.hashsalt"] = "wardstream"
    figure, axes = plt.subplots(figsize=(7, 4.2))
    for strategy, colour in zip(STRATEGIES, ("#777777", "#b3541e", "#1b6ca8"), strict=True):
        for run in (run for run in result["runs"] if run["strategy"] == strategy):
            axes.plot([row["mean"] for row in run["curve"]], color=colour, alpha=0.25, linewidth=1)
        axes.plot(result["summary"][strategy]["f1_by_round"], color=colour, linewidth=2.5, marker="o", label=strategy)
    axes.set_xticks(range(ROUNDS + 1))
    axes.set_xlabel(f"rounds of review ({result['characters_a_round']:,} characters each)")
    axes.set_ylabel("strict F1, mean of three development parts")
    axes.grid(alpha=0.3)
    axes.legend(title="notes chosen by")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    began = time.process_time()

    def kept(result: dict[str, Any]) -> None:
        result["core_minutes"] = round((time.process_time() - began) / 60, 1)
        if given.record:
            RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
            plot(result, PLOT)

    result = study(range(1, given.seeds + 1), lambda line: print(line, file=sys.stderr, flush=True), kept)
    print(json.dumps(result["summary"], indent=1))


if __name__ == "__main__":
    main()
