"""``wardstream evaluate``: score a checkpoint's graphs on the development sets, through the serving code.

Both graphs are scored, float32 and int8; a tagger without graphs is scored as it is, in PyTorch. The figures go into ``scores.json`` and the page ``report.md`` beside the checkpoint.
"""

from __future__ import annotations

import json

from models.bundle import ENCODER, MODEL
from training.evaluation import scores_of, scores_of_checkpoint
from training.export import PARITY
from training.gate import judge
from training.recipe import Recipe
from training.report import scores_table, write_report

SCORES = "scores.json"
_GRAPHS = {"onnx": ".fp32", "int8": ""}


def run(recipe: Recipe) -> None:
    """Score what lies beside the checkpoint and write the report."""
    folder = recipe.checkpoint
    found = {
        name: scores_of(recipe, suffix)
        for name, suffix in _GRAPHS.items()
        if any((folder / graph.replace(".onnx", f"{suffix}.onnx")).exists() for graph in (MODEL, ENCODER))
    }
    if not found and recipe.task in ("entities", "phi"):
        found["pytorch"] = scores_of_checkpoint(recipe)
    (folder / SCORES).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    sections = {f"Scores, {name}": scores_table(scores) for name, scores in found.items()}
    if (folder / PARITY).exists():
        sections = {"Parity with PyTorch": (folder / PARITY).read_text(encoding="utf-8"), **sections}
    if {"onnx", "int8"} <= set(found):
        verdict = judge(found["onnx"], found["int8"])
        sections["Gate, quantization alone"] = (
            "passed" if verdict.passed else "\n".join(f"- {reason}" for reason in verdict.reasons)
        )
    print(write_report(recipe, sections))
