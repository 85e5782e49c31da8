"""``wardstream train``: fine-tune a family on a task, from the pretrained encoder or from another checkpoint."""

from __future__ import annotations

import torch

from training.batches import Batch
from training.dropout import use_sequence_dropout
from training.examples import task_of
from training.families import family
from training.families import run as forward
from training.loop import fit
from training.recipe import Recipe
from training.start import save, start, tokenizer_of


def run(recipe: Recipe) -> None:
    """Train the recipe and save its checkpoint with its tokenizer and curve."""
    tokenizer = tokenizer_of(recipe)
    task = task_of(recipe, tokenizer)
    chosen = family(recipe.family)
    model = start(recipe, task)
    use_sequence_dropout(model, recipe.dropout)
    if recipe.compile:
        model.compile()

    def loss_of(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        return task.loss(forward(chosen, model, batch)[1], batch)

    save(fit(model, task.epoch, recipe, loss_of), recipe, tokenizer)
