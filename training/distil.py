"""Distil a teacher into fewer layers: ``python -m training.distil recipe.toml``.

Loss: 0.3 of the labels' loss + 0.7 KL at temperature 2 + 0.1 squared distance of the last hidden states. Clinical texts
without labels join in, where only the teacher speaks.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from transformers import BertForTokenClassification

from models.tokens import WordPieces
from training.batches import Batch
from training.data.alignment import Example
from training.data.corpora import data_folder
from training.encoder import encoder_folder, start_model
from training.fine_tune import corpora_of
from training.fit import fit
from training.loss import distillation_loss, marginal_loss, spoken
from training.phi.corpus import base_texts
from training.recipe import Recipe, load_recipe

TEMPERATURE = 2.0
LABELS_WEIGHT, TEACHER_WEIGHT, HIDDEN_WEIGHT = 0.3, 0.7, 0.1


def unlabelled(recipe: Recipe) -> list[Example]:
    """Free clinical texts in which every label is allowed."""
    pieces = WordPieces(encoder_folder() / "tokenizer.json")
    labels = 1 + 2 * len(recipe.types)
    found = (pieces(text) for text in base_texts(data_folder()))
    return [Example(t.ids, t.shape, np.ones((len(t), labels), dtype=np.float32)) for t in found]


def _forward(model: BertForTokenClassification, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    hidden = model.bert(input_ids=batch.ids, attention_mask=batch.mask, token_type_ids=batch.shape).last_hidden_state
    return hidden, model.classifier(model.dropout(hidden))


def main(path: str) -> None:
    """Distil the recipe at ``path`` and save the student's checkpoint."""
    recipe = load_recipe(Path(path))
    teacher = BertForTokenClassification.from_pretrained(Path(recipe.out) / recipe.teacher).eval()

    def loss_of(model: BertForTokenClassification, batch: Batch) -> torch.Tensor:
        with torch.no_grad():
            teacher_hidden, teacher_logits = _forward(teacher, batch)
        hidden, logits = _forward(model, batch)
        keep = batch.mask.bool()
        loss = TEACHER_WEIGHT * distillation_loss(logits, teacher_logits, batch.mask, TEMPERATURE)
        loss = loss + HIDDEN_WEIGHT * torch.nn.functional.mse_loss(hidden.float()[keep], teacher_hidden.float()[keep])
        if bool(spoken(batch.weight).any()):
            loss = loss + LABELS_WEIGHT * marginal_loss(logits, batch.weight)
        return loss

    fit(start_model(recipe), corpora_of(recipe) | {"unlabelled": unlabelled(recipe)}, recipe, loss_of)


if __name__ == "__main__":
    main(sys.argv[1])
