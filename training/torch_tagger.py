"""A checkpoint as a tagger, in PyTorch: for teachers and for the parity of scores. What serves is ``models.tagger``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from models.decoding import ScoredSpan, softmax, spans_of
from models.tokens import Tokens, WordPieces
from models.windows import Window, windows
from training.families import Family, load_family
from training.families import run as forward

FloatArray = npt.NDArray[np.float32]
_ROWS, _ROWS_GPU = 16, 128  # windows at a time


class Pieces(Protocol):
    """Word pieces and letter shapes of one text."""

    @property
    def ids(self) -> npt.NDArray[np.int64]: ...

    @property
    def shape(self) -> npt.NDArray[np.int64]: ...


@dataclass(frozen=True, slots=True)
class TorchTagger:
    """``window`` pieces at a time, special tokens included, ``overlap`` of them shared where no line or sentence ends."""

    family: Family
    model: torch.nn.Module
    pieces: WordPieces
    window: int
    overlap: int

    @classmethod
    def load(cls, checkpoint: Path, *, window: int, overlap: int) -> TorchTagger:
        """The checkpoint in evaluation mode, on the GPU where there is one."""
        family, model = load_family(checkpoint)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return cls(family, model.eval().to(device), WordPieces(checkpoint / "tokenizer.json"), window, overlap)

    def logits(self, texts: Sequence[str]) -> tuple[list[Tokens], list[FloatArray]]:
        """Word pieces and logits (pieces x labels) of each text."""
        tokens = [self.pieces(text) for text in texts]
        breaks = [k.breaks(t) if len(k) > self.window - 2 else () for t, k in zip(texts, tokens, strict=True)]
        return tokens, self.logits_of(tokens, breaks)

    def logits_of(self, rows: Sequence[Pieces], breaks: Sequence[Sequence[Sequence[int]]] | None = None) -> list[FloatArray]:
        """Logits of texts that are word pieces already; ``breaks`` as in ``models.windows``."""
        jobs: list[tuple[int, Window]] = []
        for k, row in enumerate(rows):
            jobs += [(k, one) for one in windows(len(row.ids), self.window - 2, self.overlap, breaks[k] if breaks else ())]
        merged: list[FloatArray] = [np.zeros((0, 0), dtype=np.float32)] * len(rows)
        jobs.sort(key=lambda job: job[1].end - job[1].start)
        size = _ROWS_GPU if next(self.model.parameters()).is_cuda else _ROWS
        for at in range(0, len(jobs), size):
            some = jobs[at : at + size]
            for (k, one), answer in zip(some, self._run(rows, some), strict=True):
                if not len(merged[k]):
                    merged[k] = np.zeros((len(rows[k].ids), answer.shape[1]), dtype=np.float32)
                first = 1 + one.own_start - one.start
                merged[k][one.own_start : one.own_end] = answer[first : first + one.own_end - one.own_start]
        return merged

    def tag_many(
        self, texts: list[str], types: tuple[str, ...], thresholds: dict[str, float], temperature: float = 1.0
    ) -> list[tuple[ScoredSpan, ...]]:
        """Spans of each text, as the serving code would decode them."""
        least = np.array([thresholds.get(name, 0.5) for name in types], dtype=np.float32)
        tokens, logits = self.logits(texts)
        return [spans_of(t, k, softmax(x / temperature), types, least) for t, k, x in zip(texts, tokens, logits, strict=True)]

    def _run(self, rows: Sequence[Pieces], some: list[tuple[int, Window]]) -> FloatArray:
        length = -(-max(one.end - one.start + 2 for _, one in some) // 16) * 16  # few shapes: oneDNN plans anew for each
        ids = np.full((len(some), length), self.pieces.pad, dtype=np.int64)
        mask, shape = np.zeros_like(ids), np.zeros_like(ids)
        for at, (k, one) in enumerate(some):
            n = one.end - one.start
            ids[at, 0], ids[at, n + 1] = self.pieces.cls, self.pieces.sep
            ids[at, 1 : n + 1] = rows[k].ids[one.start : one.end]
            shape[at, 1 : n + 1] = rows[k].shape[one.start : one.end]
            mask[at, : n + 2] = 1
        device = next(self.model.parameters()).device
        arrays = {"input_ids": ids, "attention_mask": mask, "token_type_ids": shape}
        batch = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
        with torch.no_grad(), torch.autocast(device.type, dtype=torch.bfloat16):
            answer: FloatArray = forward(self.family, self.model, batch)[1].float().cpu().numpy()
        return answer
