"""Whether a graph is the function that was trained: logits at shapes away from the traced one.

At the traced shape a wrongly baked-in size does not show.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import onnxruntime as ort
import torch

from training.export import example
from training.families import load_family
from training.report import table

SHAPES: Final = ((1, 8), (1, 64), (3, 40), (2, 130), (1, 254), (4, 17))
LONG_SHAPES: Final = ((1, 513), (2, 600), (1, 1500))
#: Largest logit difference of a float32 graph, as a share of the largest logit (at least 1).
TOLERANCE: Final = 2e-4


class Parity(msgspec.Struct, frozen=True):
    """``difference``: largest over real positions and shapes, relative to the largest logit; ``agreement``: share of equal argmax."""

    graph: str
    difference: float
    agreement: float
    bytes: int


def parity(checkpoint: Path, graphs: dict[str, Path], *, seed: int = 7) -> list[Parity]:
    """Compare each classification graph with PyTorch at ``SHAPES``, and for Longformer at ``LONG_SHAPES`` too."""
    family, model = load_family(checkpoint)
    shapes = SHAPES + (LONG_SHAPES if family.name == "longformer" else ())
    expected = []
    for rows, length in shapes:
        given = example(family, model, rows, length, seed)
        with torch.no_grad():
            expected.append((given, model(**given).logits.numpy()))
    return [_compared(name, path, expected) for name, path in graphs.items()]


def _compared(name: str, path: Path, expected: list[tuple[dict[str, torch.Tensor], np.ndarray]]) -> Parity:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = [i.name for i in session.get_inputs()]
    if set(wanted) != set(expected[0][0]):  # an exporter that drops an input gives a graph that ignores it
        return Parity(name, float("inf"), 0.0, path.stat().st_size)
    worst, same, total = 0.0, 0, 0
    for given, reference in expected:
        answer = session.run(["logits"], {key: given[key].numpy() for key in wanted})[0].astype(np.float32)
        real = given["attention_mask"].numpy().astype(bool) if reference.ndim == 3 else np.ones(len(reference), dtype=bool)
        scale = max(1.0, float(np.abs(reference[real]).max()))
        worst = max(worst, float(np.abs(answer - reference)[real].max()) / scale)
        same += int((answer[real].argmax(-1) == reference[real].argmax(-1)).sum())
        total += int(real.sum())
    return Parity(name, worst, same / total, path.stat().st_size)


def parity_of_generation(checkpoint: Path, encoder: Path, decoder: Path, *, seed: int = 7) -> Parity:
    """The same for an encoder and a decoder graph together, against PyTorch's teacher-forced logits."""
    _, model = load_family(checkpoint)
    one, other = (ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]) for path in (encoder, decoder))
    random = torch.Generator().manual_seed(seed)
    worst, same, total = 0.0, 0, 0
    for rows, length, written in ((1, 8, 1), (3, 40, 5), (2, 90, 30)):
        ids = torch.randint(3, model.config.vocab_size, (rows, length), generator=random)
        mask = torch.ones_like(ids)
        mask[-1, length // 2 + 1 :] = 0 if rows > 1 else 1
        begun = torch.randint(3, model.config.vocab_size, (rows, written), generator=random)
        with torch.no_grad():
            reference = model(input_ids=ids, attention_mask=mask, decoder_input_ids=begun).logits.numpy()
        states = one.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})[0]
        feed = {"input_ids": begun.numpy(), "encoder_hidden_states": states, "encoder_attention_mask": mask.numpy()}
        answer = other.run(["logits"], feed)[0]
        worst = max(worst, float(np.abs(answer - reference).max()) / max(1.0, float(np.abs(reference).max())))
        same += int((answer.argmax(-1) == reference.argmax(-1)).sum())
        total += reference.shape[0] * reference.shape[1]
    return Parity("encoder and decoder", worst, same / total, encoder.stat().st_size + decoder.stat().st_size)


def parity_table(found: list[Parity]) -> str:
    """Markdown."""
    rows = [[p.graph, f"{p.difference:.1e}", f"{p.agreement:.2%}", f"{p.bytes / 1e6:.1f} MB"] for p in found]
    return table(["graph", "largest difference (relative)", "same label", "size"], rows)
