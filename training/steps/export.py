"""``wardstream export``: the float32 graph and, for GPUs, the fused half-precision one, with their parity."""

from __future__ import annotations

import sys

from training.export import FP16, PARITY, export, optimize, to_fp16
from training.parity import TOLERANCE, parity, parity_of_generation, parity_table
from training.recipe import Recipe


def run(recipe: Recipe) -> None:
    """Export and compare; exit 1 when a float32 graph is not the function that was trained."""
    folder = recipe.checkpoint
    graphs = export(folder, folder)
    if len(graphs) == 2:
        found = [parity_of_generation(folder, *graphs)]
    else:
        fused = folder / "model.fused.onnx"
        optimize(folder, graphs[0], fused)
        to_fp16(fused, folder / FP16)
        found = parity(folder, {"onnx": graphs[0], "optimized": fused, "fp16": folder / FP16})
    (folder / PARITY).write_text(parity_table(found) + "\n", encoding="utf-8")
    print(parity_table(found))
    wrong = [p.graph for p in found if p.graph != "fp16" and p.difference > TOLERANCE]
    if wrong:
        sys.exit(f"not the same function: {', '.join(wrong)}")
