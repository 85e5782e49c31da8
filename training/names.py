"""Names to vectors by contrast (SapBERT, Liu et al. 2021): two names of a concept are drawn together, and away from all others of the batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch

from models.tokens import WordPieces
from training.batches import Batch
from training.families import Head
from training.recipe import Recipe
from training.tasks import names

#: Of the cosine, before the softmax (SimCSE, Gao et al. 2021).
TEMPERATURE = 0.05
#: Concepts that stand beside each other by the last word of their first name come in groups of so many: what is told apart is alike.
_ALIKE = 8


@dataclass(frozen=True, slots=True)
class NamesTask:
    """Names of concepts; batches hold two names of each of many concepts, ``labels`` the concepts."""

    recipe: Recipe
    pieces: WordPieces
    concepts: list[names.Names]
    numbers: int = 0

    @classmethod
    def of(cls, recipe: Recipe, pieces: WordPieces) -> NamesTask:
        """The task of a recipe. Raises OSError where its file of names cannot be read."""
        found = names.training(names.read(Path(recipe.names)))
        return cls(recipe, pieces, sorted(found, key=lambda one: one[0].split()[::-1]))

    @property
    def head(self) -> Head:
        return Head("embedding")

    def epoch(self, number: int) -> Iterator[Batch]:
        random = Random(f"{self.recipe.seed}/{number}")
        groups = [range(at, min(at + _ALIKE, len(self.concepts))) for at in range(0, len(self.concepts), _ALIKE)]
        random.shuffle(groups)
        order = [at for group in groups for at in group]
        length = self.recipe.lengths[-1]
        size = max(2, self.recipe.batch_tokens // length // 2)
        for first in range(0, max(1, len(order) - size + 1), size):
            chosen = order[first : first + size]
            pairs = [random.sample(self.concepts[at], 2) for at in chosen]
            yield self._batch([name for side in (0, 1) for name in (pair[side] for pair in pairs)], chosen * 2, length)

    def loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Cross-entropy of the concept's other name among all other names of the batch."""
        unit = torch.nn.functional.normalize(logits.float(), dim=-1)
        alike = unit @ unit.T / TEMPERATURE
        itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
        same = (batch["labels"][:, None] == batch["labels"][None]) & ~itself
        chances = torch.log_softmax(alike.masked_fill(itself, float("-inf")), dim=-1)
        return -(chances.masked_fill(~same, 0).sum(1) / same.sum(1)).mean()

    def _batch(self, texts: list[str], concepts: list[int], length: int) -> Batch:
        ids = np.full((len(texts), length), self.pieces.pad, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(texts):
            found = self.pieces(text).ids[: length - 2]
            ids[row, 0], ids[row, len(found) + 1] = self.pieces.cls, self.pieces.sep
            ids[row, 1 : len(found) + 1] = found
            mask[row, : len(found) + 2] = 1
        arrays = {"input_ids": ids, "attention_mask": mask, "labels": np.array(concepts)}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}
