"""DistilBERT (Sanh et al. 2019): decision-support flags from note text. It has no token types: the first row joins the positions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoConfig, DistilBertConfig, DistilBertForSequenceClassification, DistilBertForTokenClassification

from training.families.encoder_weights import Weights, fill, head_config, read_encoder
from training.families.family import Head

_LAYER = {
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}


def _renamed(weights: Weights) -> Weights:
    types = weights.pop("embeddings.token_type_embeddings.weight")
    weights["embeddings.position_embeddings.weight"] = weights["embeddings.position_embeddings.weight"] + types[0]
    found: Weights = {}
    for name, value in weights.items():
        if not name.startswith("encoder.layer."):
            found[name] = value
            continue
        number, rest = name.removeprefix("encoder.layer.").split(".", 1)
        part, _, kind = rest.rpartition(".")
        found[f"transformer.layer.{number}.{_LAYER[part]}.{kind}"] = value
    return found


class _DistilBert:
    name = "distilbert"

    def inputs(self, model: Any) -> tuple[str, ...]:
        return ("input_ids", "attention_mask")

    def start(self, source: Path, *, head: Head, layers: tuple[int, ...], numbers: int, seed: int, **sizes: int) -> Any:
        config, weights = read_encoder(source, layers)
        new = DistilBertConfig(
            vocab_size=config.vocab_size,
            dim=config.hidden_size,
            n_layers=config.num_hidden_layers,
            n_heads=config.num_attention_heads,
            hidden_dim=config.intermediate_size,
            max_position_embeddings=config.max_position_embeddings,
            activation=config.hidden_act,
            **head_config(head.labels, head.multi_label),
        )
        new._attn_implementation = "eager"
        model = (DistilBertForTokenClassification if head.kind == "token" else DistilBertForSequenceClassification)(new)
        fill(model, _renamed(weights), "distilbert")
        return model

    def load(self, checkpoint: Path) -> Any:
        token = "Token" in AutoConfig.from_pretrained(checkpoint).architectures[0]
        kind = DistilBertForTokenClassification if token else DistilBertForSequenceClassification
        return kind.from_pretrained(checkpoint, attn_implementation="eager").eval()


FAMILY = _DistilBert()
