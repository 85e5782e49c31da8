"""A text-classification checkpoint in PyTorch: for teachers. What serves is ``models.classifier``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.tokens import WordPieces
from training.batches import TextExample, text_batch
from training.families import Family
from training.families import run as forward

LONGEST = 512
_ROWS, _STEP = 32, 16  # texts at a time, and what their length is rounded up to: oneDNN plans anew for each


def text_logits(teacher: tuple[Family, Any], examples: list[TextExample], pieces: WordPieces) -> npt.NDArray[np.float32]:
    """Logits (texts x labels) of the first ``LONGEST`` pieces of each text."""
    family, model = teacher
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.eval().to(device)
    ends = [min(LONGEST - 2, len(example.ids)) for example in examples]
    order = sorted(range(len(examples)), key=ends.__getitem__)
    found: list[npt.NDArray[np.float32]] = [np.zeros(0, dtype=np.float32)] * len(examples)
    for at in range(0, len(order), _ROWS):
        some = order[at : at + _ROWS]
        length = -(-(ends[some[-1]] + 2) // _STEP) * _STEP
        batch = text_batch([(examples[k], 0, ends[k]) for k in some], length, pieces)
        with torch.no_grad():
            logits = forward(family, model, {name: value.to(device) for name, value in batch.items()})[1]
        for k, row in zip(some, logits.float().cpu().numpy(), strict=True):
            found[k] = row
    return np.stack(found)
