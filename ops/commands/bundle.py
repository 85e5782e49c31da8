"""``wardstream bundle``: the last step of the model factory."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click

from ops.cli import EXIT_FAILED
from ops.recipe_command import load
from streams.settings import Settings


@click.command()
@click.argument("recipe", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--version", required=True, help="Version of the bundle: dotted numbers.")
@click.option(
    "--key",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Private signing key (wardstream keys models).",
)
@click.option("--shelf", type=click.Path(file_okay=False, path_type=Path), default=Path("models/shelf"), show_default=True)
@click.option(
    "--margin",
    type=click.FloatRange(0, 1),
    default=None,
    help="How far a class's recall may fall below the replaced bundle's; default: 0.02, more for small classes, as chance explains.",
)
@click.option(
    "--trusted-keys",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=None,
    help="Public keys that the replaced bundle may be signed with; default: the setting models.trusted_keys.",
)
@click.option("--fp16", is_flag=True, help="Put the graph for GPUs in too (twice the size of the one for CPUs).")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=None, help="Folder of checkpoints; default: the recipe's."
)
def command(
    recipe: Path,
    version: str,
    key: Path,
    shelf: Path,
    margin: float | None,
    trusted_keys: Path | None,
    fp16: bool,
    out: Path | None,
) -> None:
    """Judge the recipe's bundle by the gate, write its card, sign it and place it on the shelf. Exit 1 when the gate refuses."""
    made = load(recipe, out)
    release = importlib.import_module("training.steps.bundle").release
    trusted = trusted_keys or Settings().models.trusted_keys
    verdict, folder = release(made, version=version, key=key, shelf=shelf, margin=margin, fp16=fp16, trusted_keys=trusted)
    for reason in verdict.reasons:
        click.echo(f"refused: {reason}", err=True)
    if folder is None:
        sys.exit(EXIT_FAILED)
    size = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
    click.echo(f"{folder}: {size:.1f} MiB, gate passed over {verdict.compared} figures")
