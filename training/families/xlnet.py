"""XLNet (Yang et al. 2019) over note text together with measured values: each value is one more position in front of the text.

Its relative positions need no table, so a row may be of any length. It starts from the encoder's word vectors alone, or from some of
its layers too: both are post-norm transformers whose attention and feed-forward matrices mean the same. What XLNet adds (relative
positions) starts at random, what it lacks (biases of values and outputs) is learned again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import XLNetConfig, XLNetModel, XLNetPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from training.families.encoder_weights import Weights, head_config, read_encoder
from training.families.family import Head


class XLNetWithNumbers(XLNetPreTrainedModel):
    """Classes of a text and of ``config.numbers`` standardised values (rows x numbers; ``numbers_mask`` 0 where one is missing)."""

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__(config)
        self.transformer = XLNetModel(config)
        self.number_slope = torch.nn.Parameter(torch.empty(config.numbers, config.d_model).normal_(0, 0.3))
        self.number_bias = torch.nn.Parameter(torch.empty(config.numbers, config.d_model).normal_(0, 0.1))
        self.number_missing = torch.nn.Parameter(torch.empty(config.numbers, config.d_model).normal_(0, 0.1))
        self.summary = torch.nn.Linear(config.d_model, config.d_model)
        self.dropout = torch.nn.Dropout(config.dropout)
        self.classifier = torch.nn.Linear(config.d_model, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        numbers: torch.Tensor,
        numbers_mask: torch.Tensor,
        output_hidden_states: bool = False,
    ) -> SequenceClassifierOutput:
        """Logits from the text's first piece ([CLS]), which sees every value and every piece."""
        known = numbers_mask[..., None]
        values = (numbers[..., None] * self.number_slope + self.number_bias) * known + self.number_missing * (1 - known)
        words = self.transformer.word_embedding(input_ids)
        mask = torch.cat([torch.ones_like(numbers_mask), attention_mask.to(numbers_mask.dtype)], dim=1)
        states = self.transformer(
            inputs_embeds=torch.cat([values.to(words.dtype), words], dim=1), attention_mask=mask, use_mems=False
        )[0]
        text = states[:, numbers.shape[1] :]
        logits = self.classifier(self.dropout(torch.tanh(self.summary(text[:, 0]))))
        return SequenceClassifierOutput(logits=logits, hidden_states=(text,) if output_hidden_states else None)


class _XLNet:
    name = "xlnet"

    def inputs(self, model: Any) -> tuple[str, ...]:
        return ("input_ids", "attention_mask", "numbers", "numbers_mask")

    def start(self, source: Path, *, head: Head, layers: tuple[int, ...], numbers: int, seed: int, **sizes: int) -> Any:
        encoder, weights = read_encoder(source, layers)
        words = weights["embeddings.word_embeddings.weight"]
        if layers:
            like = {"d_model": words.shape[1], "n_layer": len(layers), "n_head": encoder.num_attention_heads}
            sizes = like | {"d_inner": encoder.intermediate_size}
        width = sizes.get("d_model", words.shape[1])
        config = XLNetConfig(
            vocab_size=len(words),
            d_model=width,
            n_layer=sizes.get("n_layer", 3),
            n_head=sizes.get("n_head", encoder.num_attention_heads),
            d_inner=sizes.get("d_inner", 2 * width),
            pad_token_id=0,
            mem_len=None,
            use_mems_eval=False,
            use_mems_train=False,
            **head_config(head.labels, head.multi_label),
        )
        config.numbers = numbers
        model = XLNetWithNumbers(config)
        if layers:
            model.transformer.load_state_dict(_renamed(weights, config), strict=False)
        elif width == words.shape[1]:
            model.transformer.word_embedding.weight.data.copy_(words)
        return model

    def load(self, checkpoint: Path) -> Any:
        return XLNetWithNumbers.from_pretrained(checkpoint).eval()


def _renamed(weights: Weights, config: XLNetConfig) -> Weights:
    """A BERT's weights under XLNet's names. Its embedding sum and norm, at the mean of its positions, goes into the word table."""
    table = weights["embeddings.word_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    table = table + weights["embeddings.position_embeddings.weight"].mean(0)
    norm = (weights["embeddings.LayerNorm.weight"], weights["embeddings.LayerNorm.bias"])
    found = {"word_embedding.weight": torch.nn.functional.layer_norm(table, table.shape[1:], *norm)}
    heads = (config.n_head, config.d_head)
    for k in range(config.n_layer):
        old, new = f"encoder.layer.{k}", f"layer.{k}"
        for one, name in (("q", "query"), ("k", "key"), ("v", "value")):
            found[f"{new}.rel_attn.{one}"] = weights[f"{old}.attention.self.{name}.weight"].T.reshape(-1, *heads)
        found[f"{new}.rel_attn.o"] = weights[f"{old}.attention.output.dense.weight"].reshape(-1, *heads)
        found[f"{new}.rel_attn.r_w_bias"] = weights[f"{old}.attention.self.query.bias"].reshape(heads)
        parts = {"rel_attn.layer_norm": "attention.output.LayerNorm", "ff.layer_norm": "output.LayerNorm"}
        parts |= {"ff.layer_1": "intermediate.dense", "ff.layer_2": "output.dense"}
        for there, here in parts.items():
            found |= {f"{new}.{there}.{kind}": weights[f"{old}.{here}.{kind}"] for kind in ("weight", "bias")}
    return found


FAMILY = _XLNet()
