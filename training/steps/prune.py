"""``wardstream prune``: a smaller checkpoint, to be trained or distilled once more."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import torch

from training import seen
from training.batches import Batch
from training.data.corpora import data_folder
from training.data.texts import free_texts
from training.examples import task_of, token_documents
from training.families import family, load_family
from training.families import run as forward
from training.prune import gather_gradients, kept_pieces, prune_feed_forward, prune_heads, trim_embeddings, trim_tokenizer
from training.recipe import Recipe
from training.start import source_of
from training.tasks import names

_BATCHES = 60  # about 90,000 pieces: the ranking of heads no longer changes by more


def run(recipe: Recipe) -> None:
    """Prune the recipe's start and save the result under the recipe's name.

    Raises:
        ValueError: the recipe has no ``[prune]``, or its start is no BERT.
    """
    wanted = recipe.prune
    if wanted is None:
        raise ValueError("the recipe has no [prune] section")
    source = source_of(recipe)
    chosen, model = load_family(source)
    if chosen.name != "bert":
        raise ValueError(f"only BERT can be pruned, not {chosen.name}")
    if wanted.heads or wanted.feed_forward:
        task = task_of(recipe, source / "tokenizer.json")

        device = "cuda" if torch.cuda.is_available() else "cpu"
        model.to(device)

        def loss_of(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
            here = {name: value.to(device) for name, value in batch.items()}
            return task.loss(forward(family("bert"), model, here)[1], here)

        gather_gradients(model, islice(task.epoch(0), _BATCHES), loss_of)
        prune_heads(model, wanted.heads)
        prune_feed_forward(model, wanted.feed_forward)
        model.to("cpu")
    recipe.checkpoint.mkdir(parents=True, exist_ok=True)
    target = recipe.checkpoint / "tokenizer.json"
    if wanted.vocabulary_least:
        kept = kept_pieces(source / "tokenizer.json", _texts(recipe), wanted.vocabulary_least)
        trim_tokenizer(source / "tokenizer.json", target, kept)
        trim_embeddings(model, kept)
    else:
        target.write_bytes((source / "tokenizer.json").read_bytes())
    model.save_pretrained(recipe.checkpoint)
    seen.inherit(recipe)


def _texts(recipe: Recipe) -> list[str]:
    """What decides which pieces stay: free texts and the training texts of the task."""
    if recipe.task == "names":
        return [name for concept in names.read(Path(recipe.names)) for name in concept]
    found = [text for texts in free_texts(data_folder()).values() for text in texts]
    return found + [d.text for documents in token_documents(recipe, recipe.task).values() for d in documents]
