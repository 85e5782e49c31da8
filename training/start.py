"""Where a model starts and how it is saved: the pretrained encoder, another checkpoint, or nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from schemas.errors import ConfigurationError
from training import seen
from training.encoder import encoder_folder
from training.examples import Task
from training.families import family, name_of
from training.recipe import Recipe
from training.tasks import explanations


def source_of(recipe: Recipe) -> Path:
    """The checkpoint folder that a recipe starts from."""
    return recipe.folder_of(recipe.start) if recipe.start else encoder_folder()


def tokenizer_of(recipe: Recipe) -> Path:
    """The ``tokenizer.json`` that goes with the start; families that start from nothing get one of their task's language."""
    if recipe.family != "t5":
        return source_of(recipe) / "tokenizer.json"
    path = recipe.checkpoint / "tokenizer.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    own = path.with_name(f"tokenizer.{os.getpid()}.json")  # several processes make the same file: each puts it there whole
    explanations.train_tokenizer(recipe.seed).save(str(own))
    own.replace(path)
    return path


def start(recipe: Recipe, task: Task) -> Any:
    """The recipe's family with its head, weights from its start.

    From a BERT it takes the encoder, and the head begins anew. A whole checkpoint of any other family goes on as it is, head and all.

    Raises:
        ConfigurationError: the start is of another family, or tells other classes apart.
    """
    torch.manual_seed(recipe.seed)
    source = recipe.checkpoint if recipe.family == "t5" else source_of(recipe)
    chosen = family(recipe.family)
    if recipe.family not in ("bert", "t5") and not recipe.layers and name_of(source) == recipe.family:
        model = chosen.load(source)
        if tuple(model.config.id2label.values()) != task.head.labels:
            raise ConfigurationError(path=str(source), detail="tells other classes apart than the recipe's task")
        return model.train()
    return chosen.start(source, head=task.head, layers=recipe.layers, numbers=task.numbers, seed=recipe.seed, **recipe.sizes)


def compiled(model: Any, recipe: Recipe) -> None:
    """Compile the encoder in place where the recipe says so and there is no GPU: there a whole run takes less than compiling."""
    if recipe.compile and not torch.cuda.is_available():
        model.compile()


def save(model: Any, recipe: Recipe, tokenizer: Path) -> None:
    """Save a checkpoint folder: weights, config, tokenizer; of several processes the first does it.

    The state of the run, if any, is removed: it is finished.
    """
    if not PartialState().is_main_process:
        return
    recipe.checkpoint.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(recipe.checkpoint)
    (recipe.checkpoint / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    seen.inherit(recipe)
    shutil.rmtree(recipe.checkpoint / "state", ignore_errors=True)
