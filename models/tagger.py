"""Text in, scored spans out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from models.bundle import Manifest
from models.decoding import FloatArray, ScoredSpan, softmax, spans_of
from models.encoder import Encoder
from models.opened import OpenBundle
from models.session import Execution
from models.tokens import Tokens

DEFAULT_THRESHOLD: Final = 0.5

__all__ = ["Execution", "ScoredSpan", "Tagger"]


class Tagger(OpenBundle):
    """One bundle, ready to tag. Safe to call from several threads; close it (or use ``with``) to end its threads."""

    task = "token-classification"

    def __init__(self, folder: Path, manifest: Manifest, execution: Execution) -> None:
        super().__init__(folder, manifest, execution)
        self._encoder = Encoder(folder, manifest, execution)
        self.provider = self._encoder.provider
        given = manifest.thresholds
        self._thresholds = np.array([given.get(name, DEFAULT_THRESHOLD) for name in manifest.entity_types], dtype=np.float32)

    def tag(self, text: str) -> tuple[ScoredSpan, ...]:
        """Spans of one text, in order, not overlapping."""
        return self.tag_many((text,))[0]

    def tag_many(self, texts: Sequence[str]) -> list[tuple[ScoredSpan, ...]]:
        """Spans of several texts, in the order given; the same as tagging each alone."""
        tokens = self._encoder.tokens(texts)
        types, temperature = self.manifest.entity_types, self.manifest.temperature
        return [
            spans_of(text, found, softmax(logits / temperature), types, self._thresholds)
            for text, found, logits in zip(texts, tokens, self._logits(texts, tokens), strict=True)
        ]

    def logits(self, text: str) -> FloatArray:
        """Merged logits of one text, pieces x labels: for golden checks and evaluation."""
        return self._logits([text], self._encoder.tokens([text]))[0]

    def close(self) -> None:
        """End the threads."""
        self._encoder.close()

    def _logits(self, texts: Sequence[str], tokens: list[Tokens]) -> list[FloatArray]:
        merged = [np.zeros((len(found), len(self.manifest.labels)), dtype=np.float32) for found in tokens]
        jobs = self._encoder.jobs(texts, tokens)
        for job, rows in zip(jobs, self._encoder.run(tokens, jobs), strict=True):
            window = job.window
            first = 1 + window.own_start - window.start
            merged[job.text][window.own_start : window.own_end] = rows[first : first + window.own_end - window.own_start]
        return merged
