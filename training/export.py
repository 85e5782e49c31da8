"""Export a checkpoint to ONNX and prove it: ``python -m training.export recipe.toml``.

Eager attention and the tracing exporter give a graph that every provider can fuse; the graph is saved unfused, because int8
is made from it and optimised files are bound to one machine. Parity is tested at batch sizes and lengths away from the
traced ones: at the traced shape a wrongly baked-in size does not show.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from transformers import BertForTokenClassification

from training.recipe import load_recipe

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
PARITY_SHAPES = ((1, 8), (3, 40), (2, 130), (1, 254))
TOLERANCE = 2e-4


class _Logits(torch.nn.Module):
    def __init__(self, model: BertForTokenClassification) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).logits
        return logits


def export(checkpoint: Path, target: Path) -> None:
    """Write ``target`` (float32, batch and length dynamic)."""
    model = BertForTokenClassification.from_pretrained(checkpoint, attn_implementation="eager").eval()
    traced = (torch.randint(5, 999, (2, 24)), torch.ones(2, 24, dtype=torch.long), torch.zeros(2, 24, dtype=torch.long))
    torch.onnx.export(
        _Logits(model).eval(), traced, str(target), dynamo=False, opset_version=17, input_names=list(INPUTS), output_names=["logits"],
        dynamic_axes={name: {0: "batch", 1: "length"} for name in (*INPUTS, "logits")},
    )  # fmt: skip


def parity(checkpoint: Path, graph: Path) -> float:
    """Largest logit difference between PyTorch and the graph over real pieces, at ``PARITY_SHAPES``."""
    model = BertForTokenClassification.from_pretrained(checkpoint, attn_implementation="eager").eval()
    session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(7)
    worst = 0.0
    for rows, length in PARITY_SHAPES:
        ids = generator.integers(5, 30000, (rows, length))
        mask = np.ones_like(ids)
        mask[rows - 1, length // 2 + 1 :] = 0 if rows > 1 else 1
        shape = generator.integers(0, 4, (rows, length))
        with torch.no_grad():
            expected = _Logits(model).eval()(*(torch.from_numpy(a) for a in (ids, mask, shape))).numpy()
        actual = session.run(["logits"], dict(zip(INPUTS, (ids, mask, shape), strict=True)))[0]
        worst = max(worst, float(np.abs(expected - actual)[mask.astype(bool)].max()))
    return worst


def main(path: str) -> None:
    """Export the recipe's checkpoint to ``model.fp32.onnx`` beside it; exit 1 when it does not agree with PyTorch."""
    recipe = load_recipe(Path(path))
    target = recipe.checkpoint / "model.fp32.onnx"
    export(recipe.checkpoint, target)
    worst = parity(recipe.checkpoint, target)
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB, largest logit difference {worst:.1e}")
    if worst > TOLERANCE:
        sys.exit(f"not the same function: {worst:.1e} > {TOLERANCE}")


if __name__ == "__main__":
    main(sys.argv[1])
