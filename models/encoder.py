"""Texts through a bundle's graph: tokenization, windows, the session. What Tagger and Classifier share.

On a CPU every window is one call of its own, without padding, spread over threads: dynamic int8 scales activations over the
whole input, so anything that shared a call would change the scores. On CUDA windows are padded to one fixed shape in fp16,
where a row does not depend on its neighbours. In both, a note alone and in company gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.bundle import MODEL, MODEL_FP16, TOKENIZER, Manifest
from models.session import CPU, CUDA, Execution, cuda_listed, open_session, refuse_other_names
from models.tokens import Tokens, WordPieces
from models.windows import Window, windows
from schemas.errors import ConfigurationError

FloatArray = npt.NDArray[np.float32]
Arrays = Mapping[str, npt.NDArray[Any]]
GPU_TOKENS: Final = 4096  # word pieces a call on CUDA: 32 windows of 128, or one of 4096


@dataclass(frozen=True, slots=True)
class Job:
    """One window of one text, and what goes in beside it."""

    text: int
    window: Window
    beside: Arrays


class Encoder:
    """One bundle's graph, ready to run. Safe to call from several threads; close it to end its threads."""

    def __init__(self, folder: Path, manifest: Manifest, execution: Execution) -> None:
        self.manifest = manifest
        self.provider, self._session = _open(folder, manifest, execution)
        graph = folder / (MODEL if self.provider == CPU else MODEL_FP16)
        refuse_other_names(graph, self._session, manifest.inputs, manifest.outputs)
        self._pieces = WordPieces(folder / TOKENIZER)
        self._pool = ThreadPoolExecutor(execution.threads, "windows") if execution.threads > 1 and self.provider == CPU else None

    def tokens(self, texts: Sequence[str]) -> list[Tokens]:
        """Word pieces of each text."""
        return [self._pieces(text) for text in texts]

    def jobs(self, texts: Sequence[str], tokens: Sequence[Tokens], beside: Sequence[Arrays] = ()) -> list[Job]:
        """The windows of all texts. ``beside``: further inputs of each text (one row each), given to all of its windows."""
        size, overlap = self.manifest.window_tokens - 2, self.manifest.window_overlap
        found: list[Job] = []
        for k, (text, pieces) in enumerate(zip(texts, tokens, strict=True)):
            breaks = pieces.breaks(text) if len(pieces) > size else ()
            found += [Job(k, one, beside[k] if beside else {}) for one in windows(len(pieces), size, overlap, breaks)]
        return found

    def run(self, tokens: Sequence[Tokens], jobs: Sequence[Job]) -> list[FloatArray]:
        """The graph's answer for each job: window pieces and specials x labels, or one row of labels."""
        if self.provider == CUDA:
            return self._batches(tokens, jobs)

        def one(job: Job) -> FloatArray:
            inputs = self._inputs(tokens[job.text], job, job.window.end - job.window.start + 2)
            answer: FloatArray = self._session.run(self.manifest.outputs, {k: v[None] for k, v in inputs.items()})[0][0]
            return answer

        if self._pool is None or len(jobs) < 2:
            return [one(job) for job in jobs]
        return list(self._pool.map(one, jobs))

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def _batches(self, tokens: Sequence[Tokens], jobs: Sequence[Job]) -> list[FloatArray]:
        # One shape for everything: a short last batch is filled with its first row again.
        size = max(1, GPU_TOKENS // self.manifest.window_tokens)
        found: list[FloatArray] = []
        for at in range(0, len(jobs), size):
            some = jobs[at : at + size]
            rows = [self._inputs(tokens[job.text], job, self.manifest.window_tokens) for job in some]
            rows += [rows[0]] * (size - len(rows))
            feed = {name: np.stack([row[name] for row in rows]) for name in self.manifest.inputs}
            answers = self._session.run(self.manifest.outputs, feed)[0].astype(np.float32)
            found += list(answers[: len(some)])
        return found

    def _inputs(self, tokens: Tokens, job: Job, length: int) -> dict[str, npt.NDArray[Any]]:
        window = job.window
        n = window.end - window.start
        ids = np.full(length, self._pieces.pad, dtype=np.int64)
        ids[0], ids[n + 1] = self._pieces.cls, self._pieces.sep
        ids[1 : n + 1] = tokens.ids[window.start : window.end]
        mask = np.zeros(length, dtype=np.int64)
        mask[: n + 2] = 1
        shape = np.zeros(length, dtype=np.int64)
        shape[1 : n + 1] = tokens.shape[window.start : window.end]
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": shape, **job.beside}
        return {name: given[name] for name in self.manifest.inputs}


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
