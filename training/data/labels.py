"""The product's types, and the one map (``labels.toml``) from each corpus's labels onto them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from training.data.errors import DataError

ENTITY_TYPES: Final = (
    "problem", "finding", "medication", "dosage", "form", "route", "frequency", "duration", "procedure", "test", "value",
    "anatomy",
)  # fmt: skip
PHI_TYPES: Final = ("NAME", "DATE", "AGE", "ID", "PHONE", "EMAIL", "URL", "LOCATION", "ORGANIZATION")
PROBLEM_OR_FINDING: Final = ("problem", "finding")
UNKNOWN: Final = "unknown"

#: Label -> its types; ``()`` for no mention of ours, ``None`` for unknown territory.
LabelMap = Mapping[str, tuple[str, ...] | None]


def load_label_maps(path: Path) -> dict[str, LabelMap]:
    """Read a file of label maps, corpus by corpus.

    Raises:
        DataError: a type that the product does not have (``type``), or a value that is neither types nor ``unknown`` or ``none``.
    """
    known = {*ENTITY_TYPES, *PHI_TYPES}
    maps: dict[str, LabelMap] = {}
    for corpus, labels in tomllib.loads(path.read_text(encoding="utf-8")).items():
        found: dict[str, tuple[str, ...] | None] = {}
        for label, types in labels.items():
            if types == UNKNOWN:
                found[label] = None
            elif types == "none":
                found[label] = ()
            elif isinstance(types, list) and types and known.issuperset(types):
                found[label] = tuple(types)
            else:
                raise DataError("type", path)
        maps[corpus] = found
    return maps


LABEL_MAPS: Final = load_label_maps(Path(__file__).with_suffix(".toml"))


def types_of(labels: LabelMap) -> frozenset[str]:
    """Every product type that a map speaks of."""
    return frozenset(name for types in labels.values() if types for name in types)


def bio_labels(types: tuple[str, ...]) -> list[str]:
    """``["O", "B-a", "I-a", ...]`` in the order of ``types``: label ``1 + 2k`` begins type ``k``, ``2 + 2k`` continues it."""
    return ["O", *(f"{prefix}-{name}" for name in types for prefix in "BI")]
