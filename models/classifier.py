"""Text, and measured values where the model takes some, to the probability of each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from models.bundle import Manifest, NumberInput
from models.decoding import FloatArray, softmax
from models.encoder import Arrays, Encoder, Job
from models.opened import OpenBundle
from models.session import Execution
from models.tokens import Tokens
from models.windows import Window

DEFAULT_THRESHOLD: Final = 0.5
CLIPPED_AT: Final = 6.0  # deviations from the mean


def standardised(values: Sequence[float], inputs: Sequence[NumberInput]) -> FloatArray:
    """Values as the network takes them: ``(x - mean) / std``, clipped, NaN where missing or outside the input's range.

    Raises:
        ValueError: not one value for each input.
    """
    if len(values) != len(inputs):
        raise ValueError(f"{len(inputs)} values expected, {len(values)} given")
    scaled = [(v - i.mean) / i.std if i.low <= v <= i.high else np.nan for v, i in zip(values, inputs, strict=True)]
    return np.clip(np.array(scaled, dtype=np.float32), -CLIPPED_AT, CLIPPED_AT)


class Classifier(OpenBundle):
    """One bundle, ready to classify. Safe to call from several threads; close it (or use ``with``) to end its threads."""

    task = "text-classification"

    def __init__(self, folder: Path, manifest: Manifest, execution: Execution) -> None:
        super().__init__(folder, manifest, execution)
        self._encoder = Encoder(folder, manifest, execution)
        self.provider = self._encoder.provider

    def classify(self, text: str, numbers: Sequence[float] | None = None) -> dict[str, float]:
        """Probability of each class of one text, 0 to 1, four places.

        Args:
            numbers: one value for each of the manifest's ``numbers``, in their units, NaN where missing; none at all: all missing.

        Raises:
            ValueError: not one value for each input.
        """
        return self.classify_many((text,), None if numbers is None else (numbers,))[0]

    def classify_many(self, texts: Sequence[str], numbers: Sequence[Sequence[float]] | None = None) -> list[dict[str, float]]:
        """The same for several texts, in the order given; the same as classifying each alone.

        Of a text longer than a window, a class that excludes no other has the probability of its most certain window; exclusive
        classes share the mean of the windows' logits, weighted by their length.
        """
        tokens = self._encoder.tokens(texts)
        jobs = self._jobs(texts, tokens, numbers)
        answers: list[list[tuple[Window, FloatArray]]] = [[] for _ in texts]
        for job, answer in zip(jobs, self._encoder.run(tokens, jobs), strict=True):
            answers[job.text].append((job.window, answer))
        return [self._merged(one) for one in answers]

    def labels_of(self, probabilities: dict[str, float]) -> tuple[str, ...]:
        """The classes that hold: those at or above their threshold, or the likeliest one where they exclude each other."""
        if not self.manifest.multi_label:
            return (max(probabilities, key=lambda name: probabilities[name]),)
        return tuple(n for n, p in probabilities.items() if p >= self.manifest.thresholds.get(n, DEFAULT_THRESHOLD))

    def logits(self, text: str, numbers: Sequence[float] | None = None) -> FloatArray:
        """Logits of each window of one text (windows x labels): for golden checks and calibration."""
        tokens = self._encoder.tokens([text])
        jobs = self._jobs([text], tokens, None if numbers is None else [numbers])
        return np.stack(self._encoder.run(tokens, jobs))

    def close(self) -> None:
        """End the threads."""
        self._encoder.close()

    def _jobs(self, texts: Sequence[str], tokens: Sequence[Tokens], numbers: Sequence[Sequence[float]] | None) -> list[Job]:
        inputs = self.manifest.numbers
        rows = [(np.nan,) * len(inputs)] * len(texts) if numbers is None else numbers
        if len(rows) != len(texts):
            raise ValueError(f"{len(texts)} texts and {len(rows)} rows of values")
        beside: list[Arrays] = []
        for row in rows:
            values = standardised(row, inputs)
            beside.append({"numbers": np.nan_to_num(values), "numbers_mask": (~np.isnan(values)).astype(np.float32)})
        blank = Window(0, 0, 0, 0)  # a text without pieces has no window, and is asked all the same
        found = self._encoder.jobs(texts, tokens, beside)
        return found + [Job(k, blank, beside[k]) for k, pieces in enumerate(tokens) if not len(pieces)]

    def _merged(self, answers: list[tuple[Window, FloatArray]]) -> dict[str, float]:
        logits = np.stack([answer for _, answer in answers]) / self.manifest.temperature
        if self.manifest.multi_label:
            each = (0.5 + 0.5 * np.tanh(logits.astype(np.float64) / 2)).max(axis=0)  # the sigmoid, which here cannot overflow
        else:
            weights = np.array([max(1, window.own_end - window.own_start) for window, _ in answers], dtype=np.float32)
            each = softmax(((logits * weights[:, None]).sum(axis=0) / weights.sum())[None])[0]
        return {name: round(float(p), 4) for name, p in zip(self.manifest.labels, each, strict=True)}
