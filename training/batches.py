"""Examples as tensors in a few fixed shapes (oneDNN plans anew for each): rows of a recipe's lengths, a constant product."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.tokens import Tokens, WordPieces
from training.data.alignment import Example
from training.data.document import LabelledText

Batch = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TextExample:
    """Pieces of one text; ``target`` is 1 where the class holds, NaN where nobody said; ``numbers`` standardised, NaN where missing."""

    ids: npt.NDArray[np.int64]
    shape: npt.NDArray[np.int64]
    target: npt.NDArray[np.float32]
    numbers: npt.NDArray[np.float32]
    teacher: npt.NDArray[np.float32] | None = None


def text_example(row: LabelledText, tokens: Tokens, labels: Sequence[str], numbers: npt.NDArray[np.float32]) -> TextExample:
    """Example of one labelled text."""
    target = np.array([name in row.labels if row.speaks_of(name) else np.nan for name in labels], dtype=np.float32)
    return TextExample(tokens.ids, tokens.shape, target, numbers)


def _cut(example: Example, longest: int, random: Random) -> Iterator[tuple[int, int]]:
    total = len(example.ids)
    at = 0
    size = random.randint(longest // 3, longest) if total > longest else longest
    while at < total:
        yield at, min(total, at + size)
        at, size = at + size, longest


def _grouped(
    rows: list[tuple[Any, int, int]], lengths: Sequence[int], tokens: int, random: Random
) -> Iterator[tuple[int, list[Any]]]:
    """Rows in full groups of one length, lengths mixed; rows that fill no group wait for another epoch's cuts."""
    buckets: dict[int, list[tuple[Any, int, int]]] = {length: [] for length in lengths}
    for row in rows:
        buckets[next(n for n in lengths if row[2] - row[1] + 2 <= n)].append(row)
    groups: list[tuple[int, list[Any]]] = []
    for length, found in buckets.items():
        random.shuffle(found)
        size = max(1, tokens // length)
        groups += [(length, found[k : k + size]) for k in range(0, len(found) - size + 1, size)]
    random.shuffle(groups)
    yield from groups


def _inputs(rows: list[tuple[Any, int, int]], length: int, pieces: WordPieces) -> dict[str, npt.NDArray[np.int64]]:
    ids = np.full((len(rows), length), pieces.pad, dtype=np.int64)
    mask, shape = np.zeros_like(ids), np.zeros_like(ids)
    for k, (example, start, end) in enumerate(rows):
        n = end - start
        ids[k, 0], ids[k, n + 1] = pieces.cls, pieces.sep
        ids[k, 1 : n + 1] = example.ids[start:end]
        shape[k, 1 : n + 1] = example.shape[start:end]
        mask[k, : n + 2] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": shape}


def token_batches(
    examples: list[Example], pieces: WordPieces, lengths: Sequence[int], tokens: int, random: Random
) -> Iterator[Batch]:
    """One epoch of documents cut into rows at random places. ``weight`` (rows x length x labels) is all 0 on special tokens and
    padding: they count for nothing."""
    rows = [(example, start, end) for example in examples for start, end in _cut(example, lengths[-1] - 2, random)]
    for length, group in _grouped(rows, lengths, tokens, random):
        weight = np.zeros((len(group), length, group[0][0].weight.shape[1]), dtype=np.float32)
        for k, (example, start, end) in enumerate(group):
            weight[k, 1 : end - start + 1] = example.weight[start:end]
        arrays: dict[str, npt.NDArray[Any]] = {**_inputs(group, length, pieces), "weight": weight}
        if group[0][0].teacher is not None:
            teacher = np.zeros(weight.shape, dtype=np.float32)
            for k, (example, start, end) in enumerate(group):
                teacher[k, 1 : end - start + 1] = example.teacher[start:end]
            arrays["teacher"] = teacher
        yield {name: torch.from_numpy(array) for name, array in arrays.items()}


def text_batches(
    examples: list[TextExample], pieces: WordPieces, lengths: Sequence[int], tokens: int, random: Random
) -> Iterator[Batch]:
    """One epoch of whole texts; what exceeds the longest row is seen through a window at a random place."""
    longest = lengths[-1] - 2
    rows = []
    for example in examples:
        start = random.randint(0, max(0, len(example.ids) - longest))
        rows.append((example, start, min(len(example.ids), start + longest)))
    for length, group in _grouped(rows, lengths, tokens, random):
        yield text_batch(group, length, pieces)


def text_batch(rows: list[tuple[TextExample, int, int]], length: int, pieces: WordPieces) -> Batch:
    """One batch of texts, each from a first to a last piece, in the order given; ``length`` holds the longest and two more."""
    numbers = np.stack([row[0].numbers for row in rows])
    arrays: dict[str, npt.NDArray[Any]] = {**_inputs(rows, length, pieces), "target": np.stack([row[0].target for row in rows])}
    said = [row[0].teacher for row in rows if row[0].teacher is not None]
    if said:
        arrays["teacher"] = np.stack(said)
    if numbers.shape[1]:
        arrays |= {"numbers": np.nan_to_num(numbers), "numbers_mask": (~np.isnan(numbers)).astype(np.float32)}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


@dataclass(frozen=True, slots=True)
class PairExample:
    """Pieces of a source and of its target, each with the end piece."""

    source: list[int]
    target: list[int]


def pair_batches(examples: list[PairExample], lengths: Sequence[int], tokens: int, random: Random) -> Iterator[Batch]:
    """One epoch of source and target rows, padded with 0 (the pad piece) and, in ``labels``, with -100."""
    longest = lengths[-1]
    rows = [(e, 0, min(longest, len(e.source)) - 2) for e in examples if len(e.target) <= longest]
    for length, group in _grouped(rows, lengths, tokens, random):
        width = max(len(row[0].target) for row in group)
        ids = np.zeros((len(group), length), dtype=np.int64)
        mask = np.zeros_like(ids)
        labels = np.full((len(group), -(-width // 16) * 16), -100, dtype=np.int64)
        for k, (example, _, _) in enumerate(group):
            source = example.source[:length]
            ids[k, : len(source)], mask[k, : len(source)] = source, 1
            labels[k, : len(example.target)] = example.target
        arrays = {"input_ids": ids, "attention_mask": mask, "labels": labels}
        yield {name: torch.from_numpy(array) for name, array in arrays.items()}
