"""The steps after training, in one process: ``python -m training.finish RECIPE --version V --key KEY --shelf FOLDER``.

Each alone spends most of its time on loading PyTorch. Exit 1 when the gate of ``wardstream bundle`` refuses: quantization ruined the model.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from training.recipe import load_recipe
from training.steps import evaluate, export, quantize
from training.steps.bundle import release

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("recipe", type=_FILE)
@click.option("--version", required=True)
@click.option("--key", required=True, type=_FILE)
@click.option("--shelf", required=True, type=click.Path(file_okay=False, path_type=Path))
def main(recipe: Path, version: str, key: Path, shelf: Path) -> None:
    """Export, quantize, evaluate and bundle the recipe's checkpoint."""
    made = load_recipe(recipe)
    for step in (export, quantize, evaluate):
        step.run(made)
    verdict, folder = release(made, version=version, key=key, shelf=shelf)
    if folder is None:
        sys.exit("; ".join(verdict.reasons))


if __name__ == "__main__":
    main()
