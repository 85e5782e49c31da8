"""``wardstream evaluate``: score a checkpoint's graphs on the development sets, through the serving code.

Every graph that lies beside the checkpoint is scored: PyTorch, float32 ONNX, int8. The figures go into ``scores.json``, the page
``report.md``, and, recorded, into ``benchmarks/results/models.json``.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path

from models.bundle import MODEL, TOKENIZER
from training.evaluation import scores_of
from training.recipe import Recipe
from training.report import scores_table, write_report

GRAPHS = {"onnx": "model.fp32.onnx", "int8": MODEL}
SCORES = "scores.json"


def run(recipe: Recipe) -> None:
    """Score and report."""
    folder = recipe.checkpoint
    found = {}
    for name, graph in GRAPHS.items():
        if (folder / graph).exists():
            found[name] = scores_of(recipe, folder / graph)
    (folder / SCORES).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    path = write_report(recipe, {f"Scores, {name}": scores_table(scores) for name, scores in found.items()})
    print(path)
