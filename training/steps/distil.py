"""``wardstream distil``: a student learns what its teachers say.

The teachers speak once, over whole documents in windows of their own length, so a teacher may be longer than its student and
several may be averaged; what they said is kept beside the examples. Hidden states, where asked, come from a live teacher.
"""

from __future__ import annotations

from pathlib import Path

import torch

from training.batches import Batch
from training.dropout import use_sequence_dropout
from training.examples import Task, task_of, taught_by
from training.families import family, load_family
from training.families import run as forward
from training.loop import fit
from training.loss import binary_distillation_loss, distillation_loss, hidden_loss
from training.recipe import Distil, Recipe
from training.start import compiled, save, start, tokenizer_of


def run(recipe: Recipe) -> None:
    """Distil the recipe's teachers into its student and save it.

    Raises:
        ValueError: the recipe has no ``[distil]``, or asks for hidden states of several teachers.
    """
    distil = recipe.distil
    if distil is None:
        raise ValueError("the recipe has no [distil] section")
    if distil.hidden and len(distil.teachers) != 1:
        raise ValueError("hidden states can be learned from one teacher alone")
    teachers = [recipe.folder_of(name) for name in distil.teachers]
    tokenizer = tokenizer_of(recipe)
    task = taught_by(task_of(recipe, tokenizer), teachers, recipe)
    model = start(recipe, task)
    use_sequence_dropout(model, recipe.dropout)
    compiled(model, recipe)
    save(fit(model, task.epoch, recipe, _Loss(recipe, distil, task, teachers)), recipe, tokenizer)


class _Loss:
    """Gold labels, teachers' logits and hidden states, weighted as the recipe says."""

    def __init__(self, recipe: Recipe, distil: Distil, task: Task, teachers: list[Path]) -> None:
        self._student = family(recipe.family)
        self._distil, self._task = distil, task
        self._teacher = load_family(teachers[0]) if distil.hidden else None
        if self._teacher:
            self._teacher[1].eval().requires_grad_(False)

    def __call__(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        distil = self._distil
        hidden, logits = forward(self._student, model, batch)
        loss = distil.labels * self._task.loss(logits, batch)
        if "weight" in batch:
            loss = loss + distil.logits * distillation_loss(
                logits, batch["teacher"], batch["attention_mask"].float(), distil.temperature
            )
        else:
            loss = loss + distil.logits * binary_distillation_loss(logits, batch["teacher"], distil.temperature)
        if self._teacher:
            with torch.no_grad():
                expected = forward(*self._teacher, batch)[0]
            loss = loss + distil.hidden * hidden_loss(hidden, expected, batch["attention_mask"].float())
        return loss
