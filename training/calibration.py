"""How far scores can be read as probabilities: temperature scaling (Guo et al. 2017) and expected calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
BINS = 15
_TEMPERATURES = np.geomspace(0.25, 4.0, 97)


def _log_softmax(logits: FloatArray) -> FloatArray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: FloatArray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def negative_log_likelihood(logits: FloatArray, allowed: FloatArray, temperature: float) -> float:
    """Mean ``-log`` of the probability of the allowed labels (rows x labels, 0 or 1; several where the gold is open)."""
    each = np.logaddexp.reduce(np.where(allowed > 0, _log_softmax(logits / temperature), -np.inf), axis=-1)
    return float(-each.mean())


def binary_negative_log_likelihood(logits: FloatArray, target: FloatArray, temperature: float) -> float:
    """The same for independent classes."""
    scaled = logits / temperature
    return float((np.logaddexp(0, scaled) - target * scaled).mean())


def fit_temperature(logits: FloatArray, target: FloatArray, *, multi_label: bool = False) -> float:
    """The temperature (0.25 to 4, two places) under which held-apart logits are least surprised by their gold labels.

    Args:
        logits: rows x labels; target: rows x labels, 1 where a label is right.
    """
    loss = binary_negative_log_likelihood if multi_label else negative_log_likelihood
    best = min(_TEMPERATURES, key=lambda t: loss(logits, target, float(t)))
    return round(float(best), 2)


def expected_calibration_error(confidence: Sequence[float], right: Sequence[bool], bins: int = BINS) -> float:
    """Mean distance between confidence and share of right answers over equal-width bins, weighted by their size; 0 to 1."""
    if not len(confidence):
        return 0.0
    given, hit = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    which = np.minimum((given * bins).astype(int), bins - 1)
    sizes = np.bincount(which, minlength=bins)
    gaps = np.abs(np.bincount(which, given, bins) - np.bincount(which, hit, bins))
    return float(gaps.sum() / sizes.sum())


class Calibration(NamedTuple):
    """The temperature found on one half of the development texts, and the calibration error on the other before and after it."""

    temperature: float
    before: float
    after: float


def calibrate(logits: Sequence[FloatArray], targets: Sequence[FloatArray], *, multi_label: bool = False) -> Calibration:
    """Fit on the even texts, measure on the odd ones: rows x labels for each text, 1 where a label is right.

    Confidence is the probability of the likeliest label; for independent classes, that of each.
    """
    one, other = (np.concatenate([x for k, x in enumerate(logits) if k % 2 == side]) for side in (0, 1))
    right, wrong = (np.concatenate([x for k, x in enumerate(targets) if k % 2 == side]) for side in (0, 1))
    temperature = fit_temperature(one, right, multi_label=multi_label)
    errors = []
    for t in (1.0, temperature):
        if multi_label:
            shares = 1 / (1 + np.exp(-other / t))
            sure, hit = np.maximum(shares, 1 - shares).ravel(), ((shares >= 0.5) == (wrong > 0)).ravel()
        else:
            shares = np.exp(_log_softmax((other / t).astype(np.float32)))
            best = shares.argmax(-1)
            sure, hit = shares.max(-1), wrong[np.arange(len(wrong)), best] > 0
        errors.append(expected_calibration_error(sure.tolist(), hit.tolist()))
    return Calibration(temperature, *errors)
