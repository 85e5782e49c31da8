"""Continued masked-language pretraining of the encoder on free medical texts (BERT, Devlin et al. 2019; whole words masked)."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import numpy as np
import torch
from transformers import BertForMaskedLM

from models.tokens import Tokens, WordPieces
from training.data.corpora import data_folder
from training.data.texts import free_texts
from training.dropout import use_sequence_dropout
from training.encoder import with_letter_shapes
from training.loop import Batch, fit
from training.recipe import Recipe
from training.start import compiled, save, source_of

MASKED = 0.15  # share of words; of these 80 % become [MASK], 10 % another piece, 10 % stay
_MOST = 0.2  # share of a row's pieces that are predicted at most: one fixed number a row keeps the shapes few


def _cuts(texts: list[Tokens], longest: int, random: Random) -> Iterator[tuple[Tokens, int, int]]:
    for tokens in texts:
        at = 0
        while at < len(tokens):
            size = random.randint(longest // 2, longest) if at == 0 and len(tokens) > longest else longest
            yield tokens, at, min(len(tokens), at + size)
            at += size


def masked_batches(texts: list[Tokens], pieces: WordPieces, vocabulary: int, recipe: Recipe, epoch: int) -> Iterator[Batch]:
    """One epoch: rows of the longest length, ``places`` (rows x n) to predict and ``labels`` there, -100 for none."""
    random = Random(f"{recipe.seed}/{epoch}")
    length = recipe.lengths[-1]
    mask_id = pieces.id_of("[MASK]")
    rows = [cut for cut in _cuts(texts, length - 2, random) if cut[2] - cut[1] >= length // 4]
    random.shuffle(rows)
    size = max(1, recipe.batch_tokens // length)
    most = int(_MOST * length)
    for first in range(0, len(rows) - size + 1, size):
        ids = np.full((size, length), pieces.pad, dtype=np.int64)
        mask, shape = np.zeros_like(ids), np.zeros_like(ids)
        places, labels = np.zeros((size, most), dtype=np.int64), np.full((size, most), -100, dtype=np.int64)
        for k, (tokens, start, end) in enumerate(rows[first : first + size]):
            n = end - start
            ids[k, 0], ids[k, n + 1] = pieces.cls, pieces.sep
            ids[k, 1 : n + 1] = tokens.ids[start:end]
            shape[k, 1 : n + 1] = tokens.shape[start:end]
            mask[k, : n + 2] = 1
            words = sorted(set(tokens.word[start:end].tolist()))
            chosen = set(random.sample(words, max(1, int(MASKED * len(words)))))
            found = [i + 1 for i, word in enumerate(tokens.word[start:end].tolist()) if word in chosen][:most]
            places[k, : len(found)] = found
            labels[k, : len(found)] = ids[k, found]
            for i in found:
                draw = random.random()
                if draw < 0.9:
                    ids[k, i] = mask_id if draw < 0.8 else random.randrange(1000, vocabulary)
        arrays = {"input_ids": ids, "attention_mask": mask, "token_type_ids": shape, "places": places, "labels": labels}
        yield {name: torch.from_numpy(array) for name, array in arrays.items()}


def masked_loss(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """Cross-entropy at the masked places alone: the vocabulary product is most of the cost elsewhere."""
    return model(**batch)


class MaskedLanguageLoss(torch.nn.Module):
    """``BertForMaskedLM`` that returns its loss at given places."""

    def __init__(self, model: BertForMaskedLM) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor,
        places: torch.Tensor,
        labels: torch.Tensor,
    ) -> torch.Tensor:
        hidden = self.model.bert(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        chosen = hidden.gather(1, places[..., None].expand(-1, -1, hidden.shape[-1]))
        logits = self.model.cls(chosen)
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=-100)


def pretrain(recipe: Recipe) -> None:
    """Go on pretraining and save the encoder (no head is used later) with its tokenizer."""
    source = source_of(recipe)
    model = BertForMaskedLM.from_pretrained(source, attn_implementation="eager")
    with_letter_shapes(model)
    use_sequence_dropout(model, recipe.dropout)
    pieces = WordPieces(source / "tokenizer.json")
    texts = [pieces(text) for group in free_texts(data_folder()).values() for text in group]
    compiled(model.bert, recipe)
    vocabulary = model.config.vocab_size
    fit(MaskedLanguageLoss(model), lambda k: masked_batches(texts, pieces, vocabulary, recipe, k), recipe, masked_loss)
    save(model, recipe, source / "tokenizer.json")
