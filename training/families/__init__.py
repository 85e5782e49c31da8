"""The six families, each imported when it is asked for."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any, Final

from training.families.family import Family, Head, run

__all__ = ["FAMILIES", "Family", "Head", "family", "load_family", "run"]

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
    """A saved model and its family, told by its ``config.json``."""
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    found = family(config["model_type"])
    return found, found.load(checkpoint)
