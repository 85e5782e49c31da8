"""One recipe trained by one process and by two (accelerate, gloo): the loss curves must agree within noise.

python -m benchmarks.processes [RECIPE] [--record]    # in .venv-train; default recipe: messages, cut to 1,500 texts and one epoch
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from training.curve import curve_of
from training.recipe import Recipe, load_recipe

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).with_name("results") / "processes.json"
_RUN = """
import sys, msgspec, torch
from accelerate import PartialState
from training.recipe import Recipe
from training.steps import train

torch.set_num_threads(1)
assert PartialState(cpu=not torch.cuda.is_available()).num_processes == int(sys.argv[2]), "processes train apart"
train.run(msgspec.json.decode(open(sys.argv[1], "rb").read(), type=Recipe))
"""


def curve(recipe: Recipe, processes: int, *, timeout: float, environment: dict[str, str] | None = None) -> list[float]:
    """Smoothed losses of the recipe, trained by ``processes`` processes on one machine.

    Raises:
        subprocess.CalledProcessError: a process failed; its output is in ``stderr``.
    """
    with tempfile.TemporaryDirectory() as scratch:
        script, given = Path(scratch) / "run.py", Path(scratch) / "recipe.json"
        script.write_text(_RUN, encoding="utf-8")
        given.write_bytes(msgspec.json.encode(recipe))
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        variables = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | (environment or {})
        subprocess.run(
            [*command, str(script), str(given), str(processes)],
            env=variables,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=True,
        )
    return [row["loss"] for row in curve_of(recipe.checkpoint)]


def largest_gap(one: list[float], other: list[float]) -> float:
    """Largest relative difference of two curves of the same length."""
    return max(abs(a - b) / a for a, b in zip(one, other, strict=True))


def main() -> None:
    """Train twice, compare, print and perhaps record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", type=Path, default=ROOT / "training" / "recipes" / "messages.toml")
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    recipe = msgspec.structs.replace(load_recipe(given.recipe), documents=1500, epochs=1.0, precision="no")
    curves = {}
    for processes in (1, 2):
        with tempfile.TemporaryDirectory() as out:
            start = str(recipe.folder_of(recipe.start)) if recipe.start else ""
            curves[processes] = curve(msgspec.structs.replace(recipe, out=out, start=start), processes, timeout=1800)
    found = {
        "recipe": recipe.name,
        "one": curves[1],
        "two": curves[2],
        "largest_gap": round(largest_gap(curves[1], curves[2]), 4),
    }
    print(json.dumps(found, indent=1))
    if given.record:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
