"""What the steps ask of a family of networks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch


@dataclass(frozen=True, slots=True)
class Head:
    """``token``: a label a piece; ``text``: classes of a whole text, independent of each other when ``multi_label``; ``generation``;
    ``embedding``: one vector a text."""

    kind: Literal["token", "text", "generation", "embedding"]
    labels: tuple[str, ...] = ()
    multi_label: bool = False


class Family(Protocol):
    """One architecture: how it starts from the pretrained encoder, and which tensors its graph takes."""

    name: str

    def inputs(self, model: Any) -> tuple[str, ...]:
        """Names of the graph's inputs, in order."""

    def start(self, source: Path, *, head: Head, layers: tuple[int, ...], numbers: int, seed: int, **sizes: int) -> Any:
        """A model with a fresh head.

        Args:
            source: checkpoint folder of a BERT-shaped encoder; families that start from nothing take only its vocabulary.
            layers: encoder layers kept, in order; all when empty.
            numbers: how many measured values come with each text.
        """

    def load(self, checkpoint: Path) -> Any:
        """A saved model of this family, in evaluation mode."""


def name_of(checkpoint: Path) -> str:
    """The family of a saved model, as its ``config.json`` says."""
    return str(json.loads((checkpoint / "config.json").read_bytes())["model_type"])


def run(family: Family, model: torch.nn.Module, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Last hidden states (rows x length x width) and logits of a batch, which may hold more than the model takes."""
    bare = getattr(model, "module", model)
    given = {name: batch[name] for name in family.inputs(bare)}
    if "labels" in batch:
        given["labels"] = batch["labels"]
    answer = model(**given, output_hidden_states=True)
    states = answer.encoder_hidden_states if hasattr(answer, "encoder_hidden_states") else answer.hidden_states
    return states[-1], answer.logits
