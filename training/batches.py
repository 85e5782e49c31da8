"""Token examples in a few fixed shapes (oneDNN plans anew for each): rows of 32, 64 or 128 pieces, a constant product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import numpy as np
import torch

from models.tokens import WordPieces
from training.data.alignment import Example

LENGTHS = (32, 64, 128)


@dataclass(frozen=True, slots=True)
class Batch:
    """``weight`` is all 0 on special tokens and padding: they count for nothing."""

    ids: torch.Tensor
    mask: torch.Tensor
    shape: torch.Tensor
    weight: torch.Tensor


def _cut(examples: list[Example], random: Random) -> Iterator[tuple[Example, int, int]]:
    longest = LENGTHS[-1] - 2
    for example in examples:
        total = len(example.ids)
        at = 0
        first = random.randint(longest // 3, longest) if total > longest else longest
        while at < total:
            end = min(total, at + (first if at == 0 else longest))
            yield example, at, end
            at = end


def batches(examples: list[Example], pieces: WordPieces, tokens: int, random: Random) -> Iterator[Batch]:
    """One epoch: documents cut into windows at random places, bucketed by length, shuffled."""
    buckets: dict[int, list[tuple[Example, int, int]]] = {length: [] for length in LENGTHS}
    for example, start, end in _cut(examples, random):
        if end > start:
            buckets[next(n for n in LENGTHS if end - start + 2 <= n)].append((example, start, end))
    groups: list[tuple[int, list[tuple[Example, int, int]]]] = []
    for length, rows in buckets.items():
        random.shuffle(rows)
        size = tokens // length
        groups += [(length, rows[k : k + size]) for k in range(0, len(rows) - size + 1, size)]
    random.shuffle(groups)
    for length, rows in groups:
        labels = rows[0][0].weight.shape[1]
        ids = np.full((len(rows), length), pieces.pad, dtype=np.int64)
        mask = np.zeros_like(ids)
        shape = np.zeros_like(ids)
        weight = np.zeros((len(rows), length, labels), dtype=np.float32)
        for k, (example, start, end) in enumerate(rows):
            n = end - start
            ids[k, 0], ids[k, n + 1] = pieces.cls, pieces.sep
            ids[k, 1 : n + 1] = example.ids[start:end]
            mask[k, : n + 2] = 1
            shape[k, 1 : n + 1] = example.shape[start:end]
            weight[k, 1 : n + 1] = example.weight[start:end]
        yield Batch(*(torch.from_numpy(a) for a in (ids, mask, shape, weight)))
