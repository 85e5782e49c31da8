"""RoBERTa (Liu et al. 2019): patient messages. Positions count from one past the padding piece."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoConfig, RobertaConfig, RobertaForSequenceClassification, RobertaForTokenClassification

from training.families.encoder_weights import fill, head_config, read_encoder, shared_sizes, shifted_positions
from training.families.family import Head

_PAD = 0
_POSITIONS = "embeddings.position_embeddings.weight"


class _Roberta:
    name = "roberta"

    def inputs(self, model: Any) -> tuple[str, ...]:
        return ("input_ids", "attention_mask", "token_type_ids")

    def start(self, source: Path, *, head: Head, layers: tuple[int, ...], numbers: int, seed: int, **sizes: int) -> Any:
        config, weights = read_encoder(source, layers)
        rows = config.max_position_embeddings + _PAD + 1
        weights[_POSITIONS] = shifted_positions(weights[_POSITIONS], rows, _PAD + 1)
        new = RobertaConfig(**shared_sizes(config) | head_config(head.labels, head.multi_label), max_position_embeddings=rows)
        new._attn_implementation = "eager"
        model = (RobertaForTokenClassification if head.kind == "token" else RobertaForSequenceClassification)(new)
        fill(model, weights, "roberta")
        return model

    def load(self, checkpoint: Path) -> Any:
        token = "Token" in AutoConfig.from_pretrained(checkpoint).architectures[0]
        kind = RobertaForTokenClassification if token else RobertaForSequenceClassification
        return kind.from_pretrained(checkpoint, attn_implementation="eager").eval()


FAMILY = _Roberta()
