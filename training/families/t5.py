"""T5 (Raffel et al. 2020): plain-language explanations. Small, and from nothing: its language is that of its task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import T5Config, T5ForConditionalGeneration

from training.families.family import Head

PAD, END = 0, 1


class _T5:
    name = "t5"

    def inputs(self, model: Any) -> tuple[str, ...]:
        return ("input_ids", "attention_mask")

    def start(self, source: Path, *, head: Head, layers: tuple[int, ...], numbers: int, seed: int, **sizes: int) -> Any:
        width = sizes.get("d_model", 256)
        depth = sizes.get("n_layer", 3)
        config = T5Config(
            vocab_size=Tokenizer.from_file(str(source / "tokenizer.json")).get_vocab_size(),
            d_model=width,
            d_kv=sizes.get("d_kv", 32),
            d_ff=sizes.get("d_ff", 4 * width),
            num_layers=depth,
            num_decoder_layers=depth,
            num_heads=sizes.get("n_head", 8),
            feed_forward_proj="relu",
            pad_token_id=PAD,
            eos_token_id=END,
            decoder_start_token_id=PAD,
        )
        return T5ForConditionalGeneration(config)

    def load(self, checkpoint: Path) -> Any:
        return T5ForConditionalGeneration.from_pretrained(checkpoint).eval()


FAMILY = _T5()
