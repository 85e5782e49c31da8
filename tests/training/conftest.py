"""Tiny checkpoints: the tests of the factory train for seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

from tests.training.tiny_data import write
from training.encoder import encoder_folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of a few dozen made-up texts."""
    return write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of two layers, 32 wide, with the real tokenizer: shaped like any encoder that a site may bring."""
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(5)
    torch.set_num_threads(1)
    config = BertConfig(vocab_size=30522, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
    BertModel(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes((encoder_folder() / "tokenizer.json").read_bytes())
    return folder
