"""Execution settings and providers."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.bundle import shelf_bundle
from models.session import CUDA, Execution, open_session, refuse_two_runtimes
from models.tagger import Tagger
from schemas.errors import ConfigurationError


def test_two_runtimes_are_refused() -> None:
    """With onnxruntime and onnxruntime-gpu both installed nothing starts; with one it does."""
    with pytest.raises(ConfigurationError, match="both installed"):
        refuse_two_runtimes(lambda name: True)
    refuse_two_runtimes(lambda name: name == "onnxruntime")


def test_contradicting_settings_are_refused() -> None:
    """A required GPU on the CPU provider, and no threads at all, are configuration errors."""
    with pytest.raises(ConfigurationError):
        Execution(provider="cpu", require_gpu=True)
    with pytest.raises(ConfigurationError):
        Execution(threads=0)


def test_a_required_gpu_is_never_replaced_in_silence() -> None:
    """The shipped bundles hold no graph for CUDA: asking for it refuses instead of running on the CPU."""
    with pytest.raises(ConfigurationError, match="CUDA"):
        Tagger.load(shelf_bundle("wardstream-phi"), execution=Execution(require_gpu=True))


def test_a_provider_that_does_not_come_up_is_an_error() -> None:
    """On a machine without CUDA a session for it is refused, not quietly moved to the CPU."""
    import onnxruntime

    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("this runtime was built for CUDA")
    with pytest.raises(ConfigurationError):
        open_session(shelf_bundle("wardstream-phi") / "model.onnx", CUDA)


def test_a_broken_graph_is_an_error(tmp_path: Path) -> None:
    """Bytes that are no graph give a configuration error that names the file."""
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(ConfigurationError, match=r"model\.onnx"):
        open_session(tmp_path / "model.onnx", "CPUExecutionProvider")
