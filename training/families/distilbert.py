"""DistilBERT (Sanh et al. 2019): decision-support flags from note text. It has no token types: the first row joins the positions.

Texts are classified from the mean of their pieces: the encoder was made for that (Reimers and Gurevych 2019), while nothing ever taught its
[CLS], from which a few hundred steps learn no paraphrase. Names are turned into vectors from that mean too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    DistilBertForTokenClassification,
    DistilBertModel,
    DistilBertPreTrainedModel,
)
from transformers.modeling_outputs import SequenceClassifierOutput

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


class MeanOfPieces(DistilBertForSequenceClassification):
    """The stock classifier over the mean of the pieces instead of the first."""

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, output_hidden_states: bool = False, **_: Any
    ) -> SequenceClassifierOutput:
        states = self.distilbert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        seen = attention_mask[..., None].to(states.dtype)
        mean = (states * seen).sum(1) / seen.sum(1)
        logits = self.classifier(self.dropout(torch.relu(self.pre_classifier(mean))))
        return SequenceClassifierOutput(logits=logits, hidden_states=(states,) if output_hidden_states else None)


class ProjectedMean(DistilBertPreTrainedModel):
    """Mean of the pieces, turned into ``num_labels`` dimensions: texts of one meaning lie in one direction from the origin."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.distilbert = DistilBertModel(config)
        self.projection = torch.nn.Linear(config.dim, config.num_labels, bias=False)
        self.post_init()
        # Orthogonal rows keep the angles that the encoder was pretrained for.
        torch.nn.init.orthogonal_(self.projection.weight)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, output_hidden_states: bool = False, **_: Any
    ) -> SequenceClassifierOutput:
        states = self.distilbert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        seen = attention_mask[..., None].to(states.dtype)
        logits = self.projection((states * seen).sum(1) / seen.sum(1))
        return SequenceClassifierOutput(logits=logits, hidden_states=(states,) if output_hidden_states else None)


_HEADS = {"token": DistilBertForTokenClassification, "text": MeanOfPieces, "embedding": ProjectedMean}
_DIMENSIONS = 128


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
            **(
                {"num_labels": sizes.get("dimensions", _DIMENSIONS)}
                if head.kind == "embedding"
                else head_config(head.labels, head.multi_label)
            ),
        )
        new._attn_implementation = "eager"
        model = _HEADS[head.kind](new)
        fill(model, _renamed(weights), "distilbert")
        return model

    def load(self, checkpoint: Path) -> Any:
        name = AutoConfig.from_pretrained(checkpoint).architectures[0]
        kind = next((head for head in _HEADS.values() if head.__name__ == name), MeanOfPieces)
        return kind.from_pretrained(checkpoint, attn_implementation="eager").eval()


FAMILY = _DistilBert()
