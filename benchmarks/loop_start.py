"""A small random encoder for ``benchmarks.loop`` to begin from, in the training environment: ``python -m benchmarks.loop_start FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import BertConfig, BertModel

from training.encoder import encoder_folder


def main() -> None:
    folder = Path(sys.argv[1])
    torch.manual_seed(5)
    config = BertConfig(vocab_size=30522, hidden_size=96, num_hidden_layers=2, num_attention_heads=4, intermediate_size=192)
    BertModel(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes((encoder_folder() / "tokenizer.json").read_bytes())


if __name__ == "__main__":
    main()
