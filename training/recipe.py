"""Recipes: one TOML file says everything that a training run depends on."""

from __future__ import annotations

from pathlib import Path

import msgspec

from training.data.labels import ENTITY_TYPES, PHI_TYPES


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One training step.

    Args:
        name: names the checkpoint folder ``<out>/<name>``.
        task: ``entities`` or ``phi``.
        start: checkpoint name to start from; empty for the pretrained encoder.
        layers: encoder layers kept from the start, in order.
        teacher: checkpoint to distil from; empty for plain fine-tuning.
        epochs, learning_rate, batch_tokens, seed: as usual; the rate warms up over 6 % and then falls linearly.
        repeats: how often each corpus is seen in an epoch (fractions allowed).
        documents: how many documents the generators make (orders, or PHI texts).
        recase_share: share of documents turned to capitals, and again to small letters.
        minutes: the schedule ends after this many minutes at the latest; 0 for no limit.
        window_tokens, window_overlap, thresholds: go into the bundle's manifest (``models.bundle.Manifest``).
    """

    name: str
    task: str
    epochs: float
    learning_rate: float
    seed: int
    start: str = ""
    layers: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    teacher: str = ""
    batch_tokens: int = 1024
    repeats: dict[str, float] = {}
    documents: int = 2000
    recase_share: float = 0.08
    minutes: float = 0.0
    window_tokens: int = 128
    window_overlap: int = 24
    thresholds: dict[str, float] = {}
    out: str = "out/training"

    @property
    def types(self) -> tuple[str, ...]:
        """The task's label types in order."""
        return {"entities": ENTITY_TYPES, "phi": PHI_TYPES}[self.task]

    @property
    def checkpoint(self) -> Path:
        """Folder of the result."""
        return Path(self.out) / self.name


def load_recipe(path: Path) -> Recipe:
    """Read a recipe; unknown or ill-typed fields are refused by ``msgspec.ValidationError``."""
    return msgspec.toml.decode(path.read_bytes(), type=Recipe)
