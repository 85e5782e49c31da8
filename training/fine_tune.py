"""Fine-tune: ``python -m training.fine_tune recipe.toml``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import BertForTokenClassification

from models.tokens import WordPieces
from training.batches import Batch
from training.data.alignment import Example, align
from training.data.corpora import data_folder, entity_training, recased
from training.encoder import encoder_folder, start_model
from training.fit import fit
from training.loss import marginal_loss
from training.recipe import Recipe, load_recipe


def corpora_of(recipe: Recipe) -> dict[str, list[Example]]:
    """Training examples of the recipe's task by corpus."""
    pieces = WordPieces(encoder_folder() / "tokenizer.json")
    if recipe.task == "phi":
        from training.phi.corpus import phi_training

        documents = phi_training(data_folder(), count=recipe.documents, seed=recipe.seed)
    else:
        documents = entity_training(data_folder(), orders=recipe.documents, seed=recipe.seed)
    return {
        name: [align(d, pieces, recipe.types) for d in recased(found, share=recipe.recase_share, seed=recipe.seed)]
        for name, found in documents.items()
    }


def forward(model: BertForTokenClassification, batch: Batch) -> torch.Tensor:
    """Logits of a batch."""
    logits: torch.Tensor = model(input_ids=batch.ids, attention_mask=batch.mask, token_type_ids=batch.shape).logits
    return logits


def main(path: str) -> None:
    """Train the recipe at ``path`` and save its checkpoint."""
    recipe = load_recipe(Path(path))
    torch.manual_seed(recipe.seed)
    fit(start_model(recipe), corpora_of(recipe), recipe, lambda model, batch: marginal_loss(forward(model, batch), batch.weight))


if __name__ == "__main__":
    main(sys.argv[1])
