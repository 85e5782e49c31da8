"""The gate and the calibration: figures in, verdict out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.calibration import expected_calibration_error, fit_temperature
from training.gate import LARGEST_LOSS, LEAST_SUPPORT, MARGIN, judge, margin_of

FULL = {"bc5cdr-all": {"f1": 0.84, "recall": 0.85, "support": 900.0}}


def figures(f1: float, recall: float = 0.85, support: float = 900.0) -> dict[str, dict[str, float]]:
    return {"bc5cdr-all": {"f1": f1, "recall": recall, "support": support}}


@pytest.mark.parametrize(
    ("after", "passed"), [(0.84, True), (0.84 - LARGEST_LOSS, True), (0.84 - LARGEST_LOSS - 0.0002, False), (0.2, False)]
)
def test_quantization_may_cost_half_a_point(after: float, passed: bool) -> None:
    """The loss of F1 is allowed up to the bound and refused beyond it."""
    verdict = judge(FULL, figures(round(after, 4)))
    assert verdict.passed is passed
    assert bool(verdict.reasons) is not passed


@pytest.mark.parametrize(("now", "passed"), [(0.90, True), (0.90 - MARGIN, True), (0.90 - MARGIN - 0.001, False)])
def test_no_class_may_find_less_than_it_did(now: float, passed: bool) -> None:
    """A class's recall is compared with the bundle on the shelf, within the margin."""
    replaced = {"ncbi-problem|finding": {"recall": 0.90, "support": 4000.0}}
    quantized = FULL | {"ncbi-problem|finding": {"recall": round(now, 4), "f1": 0.9, "support": 4000.0}}
    assert judge(FULL, quantized, replaced).passed is passed


@pytest.mark.parametrize(("support", "now", "passed"), [(100.0, 0.60, True), (100.0, 0.55, False), (1600.0, 0.635, False)])
def test_a_small_class_may_lose_what_chance_explains(support: float, now: float, passed: bool) -> None:
    """Two standard errors of its recall: nine points of a hundred mentions at .66, not of sixteen hundred."""
    replaced = {"maccrobat-problem": {"recall": 0.66, "support": support}}
    quantized = FULL | {"maccrobat-problem": {"recall": now, "f1": 0.6, "support": support}}
    verdict = judge(FULL, quantized, replaced)
    assert verdict.passed is passed
    assert margin_of(0.66, 100.0) == pytest.approx(0.0947, abs=1e-4)
    assert margin_of(1.0, 100.0) == MARGIN


def test_a_class_with_a_handful_of_mentions_is_not_judged() -> None:
    """Few mentions decide nothing."""
    replaced = {"maccrobat-route": {"recall": 1.0, "support": 9.0}}
    quantized = FULL | {"maccrobat-route": {"recall": 0.2, "f1": 0.2, "support": LEAST_SUPPORT - 1.0}}
    assert judge(FULL, quantized, replaced).passed


def test_a_first_bundle_that_learned_nothing_is_refused() -> None:
    """F1 0 before and after quantization costs nothing and still is not a model; one right answer is, if a poor one."""
    verdict = judge(figures(0.0), figures(0.0))
    assert not verdict.passed
    assert verdict.reasons == ("bc5cdr-all: F1 0, it has learned nothing",)
    assert judge(figures(0.01), figures(0.01)).passed
    assert judge(FULL | figures(0.0, support=LEAST_SUPPORT - 1.0), FULL | figures(0.0, support=LEAST_SUPPORT - 1.0)).compared == 0


def test_a_missing_set_counts_as_nothing_found() -> None:
    """Scores that were not measured after quantization refuse the bundle."""
    assert not judge(FULL, {}).passed


def test_without_figures_nothing_passes() -> None:
    """An empty comparison is no proof."""
    assert not judge({}, {}).passed


@settings(deadline=None)
@given(st.floats(0.5, 3.0), st.integers(0, 2**31))
def test_temperature_is_found_back(temperature: float, seed: int) -> None:
    """Labels drawn from softened logits give that temperature back."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (4000, 4)).astype(np.float32)
    scaled = np.exp(logits / temperature)
    scaled /= scaled.sum(1, keepdims=True)
    drawn = (scaled.cumsum(1) > random.random((4000, 1))).argmax(1)
    target = np.eye(4, dtype=np.float32)[drawn]
    assert fit_temperature(logits, target) == pytest.approx(temperature, rel=0.25)


def test_calibration_error_is_the_gap_between_confidence_and_truth() -> None:
    """Always .8 sure and right in half: .3 off. Right in four of five: 0."""
    assert expected_calibration_error([0.8] * 10, [True, False] * 5) == pytest.approx(0.3)
    assert expected_calibration_error([0.8] * 10, [True] * 8 + [False] * 2) == pytest.approx(0.0)
    assert expected_calibration_error([], []) == 0.0
