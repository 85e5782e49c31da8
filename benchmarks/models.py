"""The table of models: what each scored, against what was asked, with its interval; and what each technique gained or cost.

    python -m benchmarks.models record RECIPE...   # take the figures of evaluated checkpoints into results/models.json
    python -m benchmarks.models page               # write the tables of docs/reference/models.md anew from results/models.json

Figures are of development parts, through the serving code. Training wall time and the loss curve lie beside each checkpoint.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

from training.recipe import Recipe, load_recipe
from training.report import table

RESULTS = Path(__file__).with_name("results") / "models.json"
PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "models.md"
BEGIN, END = "<!-- tables: python -m benchmarks.models page -->", "<!-- end of tables -->"


def recorded() -> dict[str, Any]:
    """What results/models.json holds: checkpoint name -> figures."""
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    return found


def figures_of(recipe: Recipe) -> dict[str, Any]:
    """Everything that is known of one evaluated checkpoint."""
    folder = recipe.checkpoint
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    curve = folder / "curve.jsonl"
    last = json.loads(curve.read_text(encoding="utf-8").splitlines()[-1]) if curve.exists() else {}
    graph = folder / "model.onnx"
    return {
        "task": recipe.task,
        "family": recipe.family,
        "note": recipe.note,
        "steps": last.get("step"),
        "train_seconds": last.get("seconds"),
        "parameters": json.loads((folder / "export.json").read_text(encoding="utf-8")).get("parameters") if (folder / "export.json").exists() else None,
        "int8_bytes": graph.stat().st_size if graph.exists() else None,
        "scores": scores,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }


def main(arguments: list[str]) -> None:
    """Record or render."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    record = commands.add_parser("record")
    record.add_argument("recipes", nargs="+", type=Path)
    commands.add_parser("page")
    given = parser.parse_args(arguments)
    if given.command == "record":
        found = recorded()
        for path in given.recipes:
            recipe = load_recipe(path)
            found[recipe.name] = figures_of(recipe)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    else:
        text = PAGE.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(before + BEGIN + "\n\n" + tables(recorded()) + "\n\n" + END + after, encoding="utf-8")
