"""Structured pruning of a BERT: whole heads, feed-forward columns and word pieces go, and the matrices get smaller.

What goes is what the loss would miss least: the first-order Taylor importance ``|weight * gradient|`` (Michel et al. 2019;
Molchanov et al. 2017), summed over some batches. Every layer loses the same share, so that one config describes them all.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from models.tokens import WordPieces
from training.batches import Batch

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def gather_gradients(model: Any, batches: Iterable[Batch], loss_of: Callable[[Any, Batch], torch.Tensor]) -> None:
    """Leave the summed absolute ``weight * gradient`` of each output matrix in its ``importance`` attribute."""
    model.eval()
    parts = [part for layer in model.bert.encoder.layer for part in (layer.attention.output.dense, layer.output.dense)]
    for part in parts:
        part.importance = torch.zeros_like(part.weight)
    for batch in batches:
        model.zero_grad(set_to_none=True)
        loss_of(model, batch).backward()
        for part in parts:
            part.importance += (part.weight.detach() * part.weight.grad).abs()
    model.zero_grad(set_to_none=True)


def prune_heads(model: Any, share: float) -> None:
    """Take the least important ``share`` of the heads out of every layer; at least one stays."""
    heads = model.config.num_attention_heads
    gone = min(heads - 1, round(share * heads))
    chosen: dict[int, list[int]] = {}
    for number, layer in enumerate(model.bert.encoder.layer):
        importance = layer.attention.output.dense.importance
        by_head = importance.reshape(importance.shape[0], heads, -1).sum((0, 2))
        chosen[number] = sorted(by_head.argsort()[:gone].tolist())
    if gone:
        model.prune_heads(chosen)


def prune_feed_forward(model: Any, share: float) -> None:
    """Take the least important ``share`` of the feed-forward columns out of every layer."""
    width = model.config.intermediate_size
    kept = max(1, round((1 - share) * width))
    for layer in model.bert.encoder.layer:
        first, second = layer.intermediate.dense, layer.output.dense
        order = second.importance.sum(0).argsort(descending=True)[:kept].sort().values
        first.weight = torch.nn.Parameter(first.weight.data[order].clone())
        first.bias = torch.nn.Parameter(first.bias.data[order].clone())
        second.weight = torch.nn.Parameter(second.weight.data[:, order].clone())
        first.out_features = second.in_features = kept
    model.config.intermediate_size = kept


def kept_pieces(tokenizer: Path, texts: Iterable[str], least: int) -> list[int]:
    """Numbers of the pieces that stay, ascending: special ones, single characters, and those seen ``least`` times in the texts.

    Since every single character stays, a word whose pieces went falls apart into smaller ones and never becomes unknown.
    """
    pieces = WordPieces(tokenizer)
    seen: Counter[int] = Counter()
    for text in texts:
        seen.update(pieces(text).ids.tolist())
    vocabulary = Tokenizer.from_file(str(tokenizer)).get_vocab(with_added_tokens=True)
    return sorted(
        number
        for piece, number in vocabulary.items()
        if piece in _SPECIAL or len(piece.removeprefix("##")) == 1 or seen[number] >= least
    )


def trim_tokenizer(source: Path, target: Path, kept: list[int]) -> None:
    """Write ``target``: the WordPiece tokenizer with only the kept pieces, renumbered from 0 in their order."""
    content = json.loads(source.read_text(encoding="utf-8"))
    place = {old: new for new, old in enumerate(kept)}
    vocabulary = {piece: place[number] for piece, number in content["model"]["vocab"].items() if number in place}
    content["model"]["vocab"] = dict(sorted(vocabulary.items(), key=lambda entry: entry[1]))
    for added in content["added_tokens"]:
        added["id"] = place[added["id"]]
    post = content.get("post_processor") or {}
    for special in post.get("special_tokens", {}).values():
        special["ids"] = [place[number] for number in special["ids"]]
    target.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def trim_embeddings(model: Any, kept: list[int]) -> None:
    """Keep the word vectors of the kept pieces."""
    old = model.get_input_embeddings()
    new = torch.nn.Embedding(len(kept), old.embedding_dim, padding_idx=0)
    new.weight.data.copy_(old.weight.data[kept])
    model.set_input_embeddings(new)
    model.config.vocab_size = len(kept)
