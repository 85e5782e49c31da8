"""Quality after each round of labelling: notes that the model is least sure of against notes drawn at random, at the same budget of text.

    python -m benchmarks.rounds [--record]      # in .venv-train; some minutes of one core

The stream is the training parts of NCBI, BC5CDR and MACCROBAT, its reviewers are their annotators; quality is strict F1 on development documents.
So that many rounds fit into minutes the encoder stays as it is (four layers of the one that ships as a Python package): each round teaches a small
head anew, from the same start, on everything labelled so far, so that rounds differ in their texts alone. Figures are for comparing strategies, not
for comparing with the shipped models. Beside chance stand two strategies: ``lowest score``, what the feedback stage proposes by, and one of the
literature, ``mean uncertainty`` of all word pieces (after Shen et al. 2018), which sees what the model passed over, too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from models.decoding import FloatArray, ScoredSpan, softmax, spans_of
from models.tokens import SHAPES, Tokens, WordPieces
from training.data.alignment import Example, align
from training.data.corpora import data_folder, entity_development, entity_training
from training.data.document import Document
from training.data.splits import without_duplicates
from training.examples import TokenTask
from training.families import family
from training.families import run as forward
from training.loss import marginal_loss
from training.recipe import Recipe
from training.scoring import Counts, strict
from training.start import start, tokenizer_of

RESULTS = Path(__file__).with_name("results") / "rounds.json"
PLOT = Path(__file__).resolve().parent.parent / "docs" / "explanation" / "loop-rounds.svg"
CORPORA = ("ncbi", "bc5cdr", "maccrobat")
#: Characters that a reviewer reads before the first round, and in each round.
FIRST, BUDGET, ROUNDS = 20_000, 15_000, 3
#: Documents that the stream brings, and documents of each development part that are scored: drawn once, for time.
POOL, SCORED = 300, 40
#: Layers of the encoder, pieces that it reads at a time, width of the head, passes over the texts.
_LAYERS, _WINDOW, _WIDTH, _EPOCHS = 4, 126, 96, 12
_THRESHOLD = 0.45  # of every type, as in the shipped bundle
STRATEGIES = ("random", "lowest score", "mean uncertainty")


@dataclass(frozen=True, slots=True)
class Read:
    """A document as the encoder reads it; ``features`` are pieces x numbers."""

    document: Document
    example: Example
    tokens: Tokens
    features: torch.Tensor


def recipe_of(seed: int) -> Recipe:
    return Recipe(name="rounds", task="entities", seed=seed, layers=tuple(range(_LAYERS)), lengths=(_WINDOW + 2,))


def read(documents: Sequence[Document], recipe: Recipe) -> list[Read]:
    """Each piece by its last hidden state, its neighbours' and its letter shape."""
    pieces = WordPieces(tokenizer_of(recipe))
    chosen = family(recipe.family)
    model = start(recipe, TokenTask(recipe, pieces, {})).eval()
    found = []
    for document in documents:
        example, tokens = align(document, pieces, recipe.types), pieces(document.text)
        parts = []
        for at in range(0, len(tokens.ids), _WINDOW):
            ids = torch.tensor([[pieces.cls, *tokens.ids[at : at + _WINDOW], pieces.sep]])
            mask = torch.ones_like(ids)
            with torch.no_grad():
                hidden, _ = forward(
                    chosen, model, {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
                )
            parts.append(hidden[0, 1:-1])
        whole = torch.cat(parts)
        edge = torch.zeros(1, whole.shape[1])
        shapes = torch.nn.functional.one_hot(torch.tensor(tokens.shape), SHAPES).float()
        features = torch.cat([torch.cat([edge, whole[:-1]]), whole, torch.cat([whole[1:], edge]), shapes], dim=1)
        found.append(Read(document, example, tokens, features))
    return found


def trained(recipe: Recipe, rows: Sequence[Read]) -> torch.nn.Module:
    """A head of these documents alone."""
    torch.manual_seed(recipe.seed)
    random = Random(recipe.seed)
    head = torch.nn.Sequential(
        torch.nn.Dropout(0.2), torch.nn.Linear(rows[0].features.shape[1], _WIDTH), torch.nn.GELU(),
        torch.nn.Linear(_WIDTH, 1 + 2 * len(recipe.types)),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(head.parameters(), lr=2e-3)
    for _ in range(_EPOCHS):
        order = random.sample(rows, len(rows))
        for at in range(0, len(order), 4):
            some = order[at : at + 4]
            logits = head(torch.cat([row.features for row in some]))
            loss = marginal_loss(logits, torch.tensor(np.concatenate([row.example.weight for row in some])))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    return head.eval()


def answers(head: torch.nn.Module, rows: Sequence[Read], recipe: Recipe) -> list[tuple[FloatArray, tuple[ScoredSpan, ...]]]:
    """Probabilities of the pieces, and spans, of each document."""
    least = np.full(len(recipe.types), _THRESHOLD, dtype=np.float32)
    found = []
    for row in rows:
        with torch.no_grad():
            chances = softmax(head(row.features).numpy())
        found.append((chances, spans_of(row.document.text, row.tokens, chances, recipe.types, least)))
    return found


def quality(head: torch.nn.Module, recipe: Recipe, development: dict[str, list[Read]]) -> dict[str, float]:
    """Strict F1 by corpus, and their mean."""
    found = {
        name: strict([row.document for row in rows], [spans for _, spans in answers(head, rows, recipe)]).get("all", Counts()).f1
        for name, rows in development.items()
    }
    return {name: round(value, 4) for name, value in (found | {"mean": statistics.mean(found.values())}).items()}


def informative(strategy: str, head: torch.nn.Module, recipe: Recipe, rows: Sequence[Read], random: Random) -> list[float]:
    """How much each document would teach by the strategy; more is more."""
    if strategy == "random":
        return [random.random() for _ in rows]
    said = answers(head, rows, recipe)
    if strategy == "mean uncertainty":
        return [float((1 - chances.max(axis=1)).mean()) for chances, _ in said]
    return [1 - min((span.score for span in spans), default=1.0) for _, spans in said]


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
    training = entity_training(data, orders=0, seed=0)
    apart = [d for name in CORPORA for d in every[name]]
    whole = [d for name in CORPORA for d in without_duplicates(training[name], apart)[0]]
    development = {name: read(Random(0).sample(every[name], min(SCORED, len(every[name]))), recipe_of(0)) for name in CORPORA}
    pool = read(Random(0).sample(whole, POOL), recipe_of(0))
    documents = [row.document for row in pool]
    say(f"{len(pool)} documents read")
    runs: list[dict[str, Any]] = []
    for seed in seeds:
        recipe = recipe_of(seed)
        shuffled = Random(seed).sample(range(len(pool)), len(pool))
        first = chosen([-float(k) for k in range(len(shuffled))], documents, shuffled, FIRST)
        base = trained(recipe, [pool[k] for k in first])
        start_quality = quality(base, recipe, development)
        for strategy in STRATEGIES:
            labelled, head, curve = list(first), base, [start_quality]
            for number in range(1, ROUNDS + 1):
                have = set(labelled)
                left = [k for k in range(len(pool)) if k not in have]
                values = informative(strategy, head, recipe, [pool[k] for k in left], Random(f"{seed}/{number}"))
                labelled += chosen(values, documents, left, BUDGET)
                head = trained(recipe, [pool[k] for k in labelled])
                curve.append(quality(head, recipe, development))
            say(f"seed {seed} {strategy}: {[row['mean'] for row in curve]}")
            characters = sum(len(documents[k].text) for k in labelled)
            runs.append(
                {"seed": seed, "strategy": strategy, "characters": characters, "documents": len(labelled), "curve": curve}
            )
        kept(_result(seeds[: seeds.index(seed) + 1], runs, len(pool)))
    return _result(seeds, runs, len(pool))


def _result(seeds: Sequence[int], runs: Sequence[dict[str, Any]], documents: int) -> dict[str, Any]:
    return {
        "first_characters": FIRST, "characters_a_round": BUDGET, "pool_documents": documents, "seeds": list(seeds),
        "model": "4 of 6 layers of all-MiniLM-L6-v2, fixed; a head of one hidden layer, trained anew each round",
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
    parser.add_argument("--seeds", type=int, default=5)
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
