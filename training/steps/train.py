"""``wardstream train``: fine-tune a family on a task, from the pretrained encoder or from another checkpoint."""

from __future__ import annotations

import msgspec
import torch

from training.batches import Batch
from training.dropout import use_sequence_dropout
from training.examples import Task, task_of
from training.families import family
from training.families import run as forward
from training.heads import HEAD, WithHeads, mixed
from training.loop import fit
from training.recipe import Recipe
from training.start import compiled, save, start, tokenizer_of


def run(recipe: Recipe) -> None:
    """Train the recipe and save its checkpoint with its tokenizer and curve.

    Raises:
        ValueError: auxiliary tasks beside a main task that gives no label to each piece.
    """
    tokenizer = tokenizer_of(recipe)
    task = task_of(recipe, tokenizer)
    chosen = family(recipe.family)
    model = start(recipe, task)
    use_sequence_dropout(model, recipe.dropout)
    compiled(model, recipe)
    if recipe.auxiliary:
        others = {name: task_of(msgspec.structs.replace(recipe, task=name, repeats={}), tokenizer) for name in recipe.auxiliary}
        save(_with_heads(recipe, model, task, others), recipe, tokenizer)
        return

    def loss_of(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        return task.loss(forward(chosen, model, batch)[1], batch)

    save(fit(model, task.epoch, recipe, loss_of), recipe, tokenizer)


def _with_heads(recipe: Recipe, model: torch.nn.Module, task: Task, others: dict[str, Task]) -> torch.nn.Module:
    if any(one.head.kind != "token" for one in (task, *others.values())):
        raise ValueError("auxiliary heads are for token tasks")
    labels = {name: len(one.head.labels) for name, one in others.items()}
    whole = WithHeads(family(recipe.family), model, labels, model.config.hidden_size)
    epoch = mixed(task.epoch, {name: (one.epoch, recipe.auxiliary[name]) for name, one in others.items()}, recipe.seed)

    def loss_of(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        return others.get(batch.get(HEAD, ""), task).loss(model(batch), batch)

    trained: torch.nn.Module = fit(whole, epoch, recipe, loss_of).model
    return trained
