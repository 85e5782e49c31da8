"""The six families, each imported when it is asked for."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Final

from training.families.family import Family, Head, name_of, run

__all__ = ["FAMILIES", "Family", "Head", "family", "load_family", "name_of", "run"]

FAMILIES: Final = ("bert", "roberta", "distilbert", "xlnet", "t5", "longformer")


def family(name: str) -> Family:
    """The family of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in FAMILIES:
        raise ValueError(f"unknown family {name!r}; known: {', '.join(FAMILIES)}")
    found: Family = importlib.import_module(f"training.families.{name}").FAMILY
    return found


def load_family(checkpoint: Path) -> tuple[Family, Any]:
    """A saved model and its family."""
    found = family(name_of(checkpoint))
    return found, found.load(checkpoint)
