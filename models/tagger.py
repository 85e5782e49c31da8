"""Text in, scored spans out: tokenization, windows, the session, and the way back to character offsets.

On a CPU every window is one call of its own, without padding, spread over threads: dynamic int8 scales activations over the
whole input, so anything that shared a call would change the scores. On CUDA windows are padded to one fixed shape in fp16,
where a row does not depend on its neighbours. In both, a note alone and in company gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.bundle import MODEL, MODEL_FP16, TOKENIZER, Manifest, load_manifest
from models.decoding import FloatArray, ScoredSpan, softmax, spans_of
from models.session import CPU, CUDA, Execution, cuda_listed, open_session
from models.tokens import Tokens, WordPieces
from models.windows import Window, windows
from schemas.errors import ConfigurationError

DEFAULT_THRESHOLD: Final = 0.5
GPU_ROWS: Final = 32

__all__ = ["Execution", "ScoredSpan", "Tagger"]


class Tagger:
    """One bundle, ready to tag. Safe to call from several threads; close it (or use ``with``) to end its threads."""

    def __init__(self, folder: Path, manifest: Manifest, execution: Execution) -> None:
        self.manifest = manifest
        self.provider, self._session = self._open(folder, manifest, execution)
        self._pieces = WordPieces(folder / TOKENIZER)
        given = manifest.thresholds
        self._thresholds = np.array([given.get(name, DEFAULT_THRESHOLD) for name in manifest.entity_types], dtype=np.float32)
        self._pool = ThreadPoolExecutor(execution.threads, "windows") if execution.threads > 1 and self.provider == CPU else None

    @classmethod
    def load(cls, bundle_dir: Path, *, execution: Execution | None = None) -> Tagger:
        """Verify and open the bundle in ``bundle_dir``.

        Raises:
            ConfigurationError: the bundle does not verify, or the provider asked for does not come up.
        """
        return cls(bundle_dir, load_manifest(bundle_dir), execution or Execution())

    @property
    def version(self) -> str:
        """``name@version#`` and the first 12 digits of the model's SHA-256."""
        return f"{self.manifest.name}@{self.manifest.version}#{self.manifest.model_sha256[:12]}"

    def tag(self, text: str) -> tuple[ScoredSpan, ...]:
        """Spans of one text, in order, not overlapping."""
        return self.tag_many((text,))[0]

    def tag_many(self, texts: Sequence[str]) -> list[tuple[ScoredSpan, ...]]:
        """Spans of several texts, in the order given; the same as tagging each alone."""
        tokens = [self._pieces(text) for text in texts]
        types = self.manifest.entity_types
        return [
            spans_of(text, found, softmax(logits), types, self._thresholds)
            for text, found, logits in zip(texts, tokens, self._logits(texts, tokens), strict=True)
        ]

    def logits(self, text: str) -> FloatArray:
        """Merged logits of one text, pieces x labels: for golden checks and evaluation."""
        return self._logits([text], [self._pieces(text)])[0]

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def __enter__(self) -> Tagger:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @staticmethod
    def _open(folder: Path, manifest: Manifest, execution: Execution) -> tuple[str, Any]:
        wanted = execution.provider == "cuda" or execution.require_gpu
        if MODEL_FP16 not in manifest.files:
            if wanted:
                raise ConfigurationError(path=str(folder / MODEL_FP16), detail="this bundle holds no graph for CUDA")
        elif wanted or (execution.provider == "auto" and cuda_listed()):
            try:
                return CUDA, open_session(folder / MODEL_FP16, CUDA)
            except ConfigurationError:
                if wanted:
                    raise
        return CPU, open_session(folder / MODEL, CPU)

    def _logits(self, texts: Sequence[str], tokens: list[Tokens]) -> list[FloatArray]:
        size, overlap = self.manifest.window_tokens - 2, self.manifest.window_overlap
        jobs: list[tuple[int, Window]] = []
        for k, (text, found) in enumerate(zip(texts, tokens, strict=True)):
            breaks = found.breaks(text) if len(found) > size else ()
            jobs += [(k, window) for window in windows(len(found), size, overlap, breaks)]
        merged = [np.zeros((len(found), len(self.manifest.labels)), dtype=np.float32) for found in tokens]
        if self.provider == CUDA:
            self._run_batches(tokens, jobs, merged)
            return merged

        def run(job: tuple[int, Window]) -> None:
            index, window = job
            inputs = self._inputs(tokens[index], window, window.end - window.start + 2)
            rows = self._session.run(self.manifest.outputs, {k: v[None] for k, v in inputs.items()})[0][0]
            merged[index][window.own_start : window.own_end] = self._own(rows, window)

        if self._pool is None or len(jobs) < 2:
            for job in jobs:
                run(job)
        else:
            list(self._pool.map(run, jobs))
        return merged

    def _run_batches(self, tokens: list[Tokens], jobs: list[tuple[int, Window]], merged: list[FloatArray]) -> None:
        # One shape for everything: a short last batch is filled with its first row again.
        for at in range(0, len(jobs), GPU_ROWS):
            some = jobs[at : at + GPU_ROWS]
            rows = [self._inputs(tokens[k], w, self.manifest.window_tokens) for k, w in some]
            rows += [rows[0]] * (GPU_ROWS - len(rows))
            feed = {name: np.stack([row[name] for row in rows]) for name in self.manifest.inputs}
            answers = self._session.run(self.manifest.outputs, feed)[0]
            for (k, window), answer in zip(some, answers, strict=False):
                merged[k][window.own_start : window.own_end] = self._own(answer.astype(np.float32), window)

    @staticmethod
    def _own(rows: FloatArray, window: Window) -> FloatArray:
        first = 1 + window.own_start - window.start
        return rows[first : first + window.own_end - window.own_start]

    def _inputs(self, tokens: Tokens, window: Window, length: int) -> dict[str, np.ndarray]:
        n = window.end - window.start
        ids = np.full(length, self._pieces.pad, dtype=np.int64)
        ids[0], ids[n + 1] = self._pieces.cls, self._pieces.sep
        ids[1 : n + 1] = tokens.ids[window.start : window.end]
        mask = np.zeros(length, dtype=np.int64)
        mask[: n + 2] = 1
        shape = np.zeros(length, dtype=np.int64)
        shape[1 : n + 1] = tokens.shape[window.start : window.end]
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": shape}
        return {name: given[name] for name in self.manifest.inputs}
