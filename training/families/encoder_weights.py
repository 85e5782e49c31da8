"""The pretrained encoder's weights under the names of other BERT-shaped families, with position and token-type tables adapted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertModel

from models.tokens import SHAPES
from schemas.errors import ConfigurationError
from training.families.family import name_of

Weights = dict[str, torch.Tensor]


def read_encoder(source: Path, layers: tuple[int, ...]) -> tuple[BertConfig, Weights]:
    """Config and weights of a BERT-shaped checkpoint with only ``layers`` (all when empty), names without prefix.

    A checkpoint that knows no letter shapes gets a token-type row for each, all equal to its first.

    Raises:
        ConfigurationError: the checkpoint is of another family; read as a BERT it would be noise.
    """
    if (kind := name_of(source)) != "bert":
        raise ConfigurationError(path=str(source), detail=f"is a {kind}, not a BERT-shaped encoder")
    model = BertModel.from_pretrained(source, add_pooling_layer=False, attn_implementation="eager")
    kept = layers or tuple(range(model.config.num_hidden_layers))
    weights: Weights = {}
    for name, value in model.state_dict().items():
        if name.startswith("encoder.layer."):
            number, rest = name.removeprefix("encoder.layer.").split(".", 1)
            if int(number) in kept:
                weights[f"encoder.layer.{kept.index(int(number))}.{rest}"] = value
        elif not name.endswith("position_ids"):
            weights[name] = value
    table = weights["embeddings.token_type_embeddings.weight"]
    if len(table) != SHAPES:
        weights["embeddings.token_type_embeddings.weight"] = table[:1].repeat(SHAPES, 1)
    config = model.config
    config.num_hidden_layers, config.type_vocab_size = len(kept), SHAPES
    config.pruned_heads = {kept.index(number): heads for number, heads in config.pruned_heads.items() if number in kept}
    return config, weights


def shifted_positions(table: torch.Tensor, rows: int, first: int) -> torch.Tensor:
    """A position table of ``rows`` rows whose row ``first + k`` is the old row ``k``; the old table repeats where it ends."""
    new = torch.zeros(rows, table.shape[1])
    for at in range(first, rows, len(table)):
        some = min(len(table), rows - at)
        new[at : at + some] = table[:some]
    return new


def fill(model: Any, weights: Weights, prefix: str) -> None:
    """Load ``weights`` under ``prefix``; only heads and what the family adds may be left as they were.

    Raises:
        ValueError: a weight of the encoder found no place.
    """
    result = model.load_state_dict({f"{prefix}.{name}": value for name, value in weights.items()}, strict=False)
    if result.unexpected_keys:
        raise ValueError(f"no place for {result.unexpected_keys[0]}")


def head_config(labels: tuple[str, ...], multi_label: bool) -> dict[str, Any]:
    """Config entries of a classification head."""
    return {
        "id2label": dict(enumerate(labels)),
        "label2id": {name: k for k, name in enumerate(labels)},
        "problem_type": "multi_label_classification" if multi_label else "single_label_classification",
    }


def shared_sizes(config: BertConfig) -> dict[str, Any]:
    """What BERT, RoBERTa and Longformer name alike."""
    names = (
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "hidden_act",
        "layer_norm_eps",
        "type_vocab_size",
    )
    return {name: getattr(config, name) for name in names} | {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}
