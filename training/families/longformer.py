"""Longformer (Beltagy et al. 2020): long notes in one pass. [CLS] is global: it sees all and is seen by all.

The stock model exports to ONNX without an error and is wrong at every length but the traced one, because its control flow on
sizes is baked in. ``SlidingWindowLongformer`` computes the same function from the same weights by chunked products alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import LongformerConfig, LongformerForTokenClassification

from training.families.encoder_weights import fill, head_config, read_encoder, shared_sizes, shifted_positions
from training.families.family import Head

_PAD = 0
_POSITIONS = "embeddings.position_embeddings.weight"
LONGEST = 4096
WINDOW = 256  # pieces that a piece sees, half on either side
_HIDDEN = -1e4  # what masks a score: exp of it is 0 in fp16 too


class LongformerTagger(LongformerForTokenClassification):
    """Token classification in which the first piece has global attention."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor, **options: Any) -> Any:
        """As the stock model's, with the global mask filled in."""
        everywhere = torch.zeros_like(input_ids)
        everywhere[:, 0] = 1
        return super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            global_attention_mask=everywhere,
            **options,
        )


class _SlidingWindowAttention(torch.nn.Module):
    """The stock ``LongformerSelfAttention`` in products of chunks; length a multiple of ``reach``, the window's half."""

    def __init__(self, stock: Any) -> None:
        super().__init__()
        self.stock = stock
        self.reach = stock.one_sided_attn_window_size
        at = torch.arange(self.reach)[:, None]
        key = torch.arange(3 * self.reach)[None, :] - self.reach
        self.register_buffer("band", ((key - at).abs() <= self.reach), persistent=False)

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(x.shape[0], x.shape[1], self.stock.num_heads, self.stock.head_dim).transpose(1, 2)

    def _neighbours(self, chunks: torch.Tensor) -> torch.Tensor:
        """Chunks (batch x heads x n x reach x d) with the chunk before and behind each: n x 3 reach x d."""
        edge = torch.zeros_like(chunks[:, :, :1])
        wide = torch.cat([edge, chunks, edge], dim=2)
        return torch.cat([wide[:, :, :-2], wide[:, :, 1:-1], wide[:, :, 2:]], dim=3)

    def _chunks(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(x.shape[0], x.shape[1], -1, self.reach, x.shape[3])

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """``states`` batch x length x width, ``mask`` batch x length (1 for real pieces)."""
        stock = self.stock
        scale = float(stock.head_dim) ** -0.5
        query = self._heads(stock.query(states)) * scale
        key, value = self._heads(stock.key(states)), self._heads(stock.value(states))
        local = torch.cat([torch.zeros_like(mask[:, :1]), mask[:, 1:]], dim=1)  # the global piece is looked at apart
        seen = self._neighbours(self._chunks(local[:, None, :, None])).transpose(3, 4)  # batch x 1 x n x 1 x 3 reach
        scores = self._chunks(query) @ self._neighbours(self._chunks(key)).transpose(3, 4)
        scores = torch.where(self.band & (seen > 0), scores, torch.full_like(scores, _HIDDEN))
        first = (query @ key[:, :, :1].transpose(2, 3)).reshape(scores.shape[0], scores.shape[1], -1, self.reach, 1)
        shares = torch.softmax(torch.cat([first, scores], dim=-1), dim=-1)
        mixed = shares[..., 1:] @ self._neighbours(self._chunks(value)) + shares[..., :1] * value[:, :, :1, None]
        mixed = mixed.reshape(query.shape)
        return torch.cat([self._global(states, mask), mixed[:, :, 1:]], dim=2).transpose(1, 2).reshape(states.shape)

    def _global(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        stock = self.stock
        query = self._heads(stock.query_global(states[:, :1])) * float(stock.head_dim) ** -0.5
        key, value = self._heads(stock.key_global(states)), self._heads(stock.value_global(states))
        scores = query @ key.transpose(2, 3)
        scores = torch.where(mask[:, None, None] > 0, scores, torch.full_like(scores, _HIDDEN))
        return torch.softmax(scores, dim=-1) @ value


class SlidingWindowLongformer(torch.nn.Module):
    """A trained ``LongformerTagger`` as a function without control flow on sizes: what is exported."""

    def __init__(self, model: LongformerTagger) -> None:
        super().__init__()
        self.embeddings = model.longformer.embeddings
        self.layers = model.longformer.encoder.layer
        self.attentions = torch.nn.ModuleList(_SlidingWindowAttention(layer.attention.self) for layer in self.layers)
        self.classifier = model.classifier
        self.reach = self.attentions[0].reach

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor) -> torch.Tensor:
        """Logits, batch x length x labels. Padding to whole chunks happens inside."""
        length = input_ids.shape[1]
        whole = (length + self.reach - 1) // self.reach * self.reach
        filler = torch.zeros_like(input_ids[:, :1]).expand(-1, self.reach)
        ids, mask, types = (torch.cat([x, filler], dim=1)[:, :whole] for x in (input_ids, attention_mask, token_type_ids))
        # Positions count real pieces from one past the padding piece, as the stock embeddings do.
        places = torch.cumsum((ids != _PAD).long(), dim=1) * (ids != _PAD).long() + _PAD
        states = self.embeddings(input_ids=ids, token_type_ids=types, position_ids=places)
        for layer, attention in zip(self.layers, self.attentions, strict=True):
            mixed = layer.attention.output(attention(states, mask), states)
            states = layer.output(layer.intermediate(mixed), mixed)
        logits: torch.Tensor = self.classifier(states[:, :length])
        return logits


class _Longformer:
    name = "longformer"

    def inputs(self, model: Any) -> tuple[str, ...]:
        return ("input_ids", "attention_mask", "token_type_ids")

    def start(self, source: Path, *, head: Head, layers: tuple[int, ...], numbers: int, seed: int, **sizes: int) -> Any:
        config, weights = read_encoder(source, layers)
        rows = LONGEST + _PAD + 1
        weights[_POSITIONS] = shifted_positions(weights[_POSITIONS], rows, _PAD + 1)
        for name in [name for name in weights if ".attention.self." in name]:
            kind = name.rsplit(".", 2)[1]
            weights[name.replace(f".{kind}.", f".{kind}_global.")] = weights[name].clone()
        sizes_and_head = shared_sizes(config) | head_config(head.labels, head.multi_label)
        new = LongformerConfig(
            **sizes_and_head,
            max_position_embeddings=rows,
            attention_window=[sizes.get("window", WINDOW)] * config.num_hidden_layers,
        )
        model = LongformerTagger(new)
        fill(model, weights, "longformer")
        return model

    def load(self, checkpoint: Path) -> Any:
        return LongformerTagger.from_pretrained(checkpoint).eval()


FAMILY = _Longformer()
