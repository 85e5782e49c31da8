"""A text-classification checkpoint in PyTorch: for teachers. What serves is ``models.classifier``."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.tokens import WordPieces
from training.batches import TextExample, text_batches
from training.families import Family
from training.families import run as forward

LONGEST = 512


def text_logits(teacher: tuple[Family, Any], examples: list[TextExample], pieces: WordPieces) -> npt.NDArray[np.float32]:
    """Logits (texts x labels) of the first ``LONGEST`` pieces of each text."""
    family, model = teacher
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.eval().to(device)
    found = []
    for example in examples:
        (batch,) = text_batches([example], pieces, (min(LONGEST, len(example.ids) + 2),), 1, Random(0))
        with torch.no_grad():
            logits = forward(family, model, {name: value.to(device) for name, value in batch.items()})[1]
        found.append(logits.float().cpu().numpy()[0])
    return np.stack(found)
