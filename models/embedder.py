"""Texts to vectors of one length: those of one meaning lie in one direction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from models.bundle import Manifest
from models.decoding import FloatArray
from models.encoder import Encoder, Job
from models.opened import OpenBundle
from models.session import Execution
from models.windows import Window

_LEAST: Final = 1e-9  # keeps the quotient of a vector of zeros finite


class Embedder(OpenBundle):
    """One bundle, ready to embed. Safe to call from several threads; close it (or use ``with``) to end its threads."""

    task = "text-embedding"

    def __init__(self, folder: Path, manifest: Manifest, execution: Execution) -> None:
        super().__init__(folder, manifest, execution)
        self._encoder = Encoder(folder, manifest, execution)
        self.provider = self._encoder.provider

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Unit vectors, texts x dimensions, in the order given; the same as embedding each alone. Of a text longer than a window the
        direction of the sum of its windows' vectors."""
        tokens = self._encoder.tokens(texts)
        blank = Window(0, 0, 0, 0)  # a text without pieces has no window, and is asked all the same
        jobs = self._encoder.jobs(texts, tokens) + [Job(k, blank, {}) for k, pieces in enumerate(tokens) if not len(pieces)]
        sums: dict[int, FloatArray] = {}
        for job, answer in zip(jobs, self._encoder.run(tokens, jobs), strict=True):
            sums[job.text] = sums[job.text] + answer if job.text in sums else answer
        found = np.stack([sums[k] for k in range(len(texts))])
        unit: FloatArray = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), _LEAST)
        return unit

    def close(self) -> None:
        """End the threads."""
        self._encoder.close()
