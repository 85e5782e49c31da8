"""The commands of the model factory: each takes a recipe and runs one step of ``training/``."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path

import click

from schemas.errors import ConfigurationError


def recipe_command(step: str, text: str) -> click.Command:
    """``wardstream <step> RECIPE``; ``text`` is its help. The step is imported when called: it needs the training environment."""

    @click.command(help=text)
    @click.argument("recipe", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        default=None,
        help="Folder of checkpoints; default: the recipe's.",
    )
    def command(recipe: Path, out: Path | None) -> None:
        run = importlib.import_module(f"training.steps.{step}").run
        run(load(recipe, out))

    return command


def load(path: Path, out: Path | None):  # type: ignore[no-untyped-def]
    """The recipe at ``path``, with another folder of checkpoints where given.

    Raises:
        ConfigurationError: the training environment is not the one that runs, or the recipe is malformed.
    """
    if find_spec("torch") is None:
        raise ConfigurationError(
            path="training", detail="needs the training environment: make training, then .venv-train/bin/wardstream"
        )
    import msgspec

    from training.recipe import load_recipe

    try:
        recipe = load_recipe(path)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise ConfigurationError(path=str(path), detail=str(error)) from error
    return recipe if out is None else msgspec.structs.replace(recipe, out=str(out))
