"""BERT (Devlin et al. 2019): clinical entities and identifiers. The letter shape of a word is its token type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoConfig, BertConfig, BertForSequenceClassification, BertForTokenClassification

from training.families.encoder_weights import fill, head_config, read_encoder, shared_sizes
from training.families.family import Head


class _Bert:
    name = "bert"

    def inputs(self, model: Any) -> tuple[str, ...]:
        return ("input_ids", "attention_mask", "token_type_ids")

    def start(self, source: Path, *, head: Head, layers: tuple[int, ...], numbers: int, seed: int, **sizes: int) -> Any:
        config, weights = read_encoder(source, layers)
        new = BertConfig(
            **shared_sizes(config) | head_config(head.labels, head.multi_label),
            max_position_embeddings=config.max_position_embeddings,
        )
        new._attn_implementation = "eager"
        model = (BertForTokenClassification if head.kind == "token" else BertForSequenceClassification)(new)
        if config.pruned_heads:
            model.prune_heads(config.pruned_heads)
        fill(model, weights, "bert")
        return model

    def load(self, checkpoint: Path) -> Any:
        token = "Token" in AutoConfig.from_pretrained(checkpoint).architectures[0]
        kind = BertForTokenClassification if token else BertForSequenceClassification
        return kind.from_pretrained(checkpoint, attn_implementation="eager").eval()


FAMILY = _Bert()
