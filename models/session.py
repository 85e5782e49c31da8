"""ONNX Runtime sessions: which provider, and never another one in silence."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

import onnxruntime as ort

from schemas.errors import ConfigurationError

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
#: On CPUs the fused addition and normalization takes twice as long as the two apart: a tenth of the whole (onnxruntime 1.32, 256 pieces).
_SLOWER: Final = {CPU: ["SkipLayerNormFusion"], CUDA: []}


@dataclass(frozen=True, slots=True)
class Execution:
    """Where and how models run.

    Args:
        provider: ``cuda``, ``cpu``, or ``auto`` (CUDA when it comes up and the bundle has a graph for it, else CPU).
        require_gpu: refuse to start on anything but CUDA.
        threads: windows computed at a time on the CPU (one core each); 1 computes in the calling thread.
    """

    provider: Literal["auto", "cpu", "cuda"] = "auto"
    require_gpu: bool = False
    threads: int = 1

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ConfigurationError(path="execution.threads", detail="at least 1")
        if self.require_gpu and self.provider == "cpu":
            raise ConfigurationError(path="execution.provider", detail="require_gpu contradicts provider cpu")


def _installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def refuse_two_runtimes(installed: Callable[[str], bool] = _installed) -> None:
    """Both runtimes own ``site-packages/onnxruntime``; the last installed wins and the other is broken.

    Raises:
        ConfigurationError: ``onnxruntime`` and ``onnxruntime-gpu`` are both installed.
    """
    if installed("onnxruntime") and installed("onnxruntime-gpu"):
        raise ConfigurationError(
            path="onnxruntime", detail="onnxruntime and onnxruntime-gpu are both installed; uninstall both, then install one"
        )


def open_session(model: Path, provider: str) -> ort.InferenceSession:
    """A session on exactly ``provider``, safe to run from several threads; one core a call on the CPU.

    Raises:
        ConfigurationError: the graph does not load, keeps data in other files, or came up on another provider.
    """
    refuse_two_runtimes()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Otherwise the runtime would take bytes of its own format too, whose operators nobody has looked at.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # CPUs without VNNI add products of 8 bits in 16, which overflow: logits off by 1. This takes kernels that cannot (a tenth to a third slower
    # there, nothing elsewhere), so that every CPU gives the answers that were measured.
    options.add_session_config_entry("session.x64quantprecision", "1")
    # Loading from bytes leaves the runtime no folder in which to look for external data.
    content = model.read_bytes()
    providers: list[Any] = [provider] if provider == CPU else [provider, CPU]
    try:
        if provider == CUDA and hasattr(ort, "preload_dlls"):
            ort.preload_dlls()
        session = ort.InferenceSession(content, options, providers=providers, disabled_optimizers=_SLOWER[provider])
    except Exception as error:
        raise ConfigurationError(path=str(model), detail="ONNX Runtime cannot load this graph") from error
    if session.get_providers()[0] != provider:
        raise ConfigurationError(path=str(model), detail=f"{provider} was asked for and did not come up")
    return session


def refuse_other_names(model: Path, session: Any, inputs: Iterable[str], outputs: Iterable[str]) -> None:
    """A graph that takes something else than what will be fed would fail at the first text; this fails at load.

    Raises:
        ConfigurationError: the inputs are not exactly ``inputs``, or one of ``outputs`` is missing.
    """
    taken, given = {i.name for i in session.get_inputs()}, {o.name for o in session.get_outputs()}
    if taken != set(inputs) or not set(outputs) <= given:
        raise ConfigurationError(
            path=str(model), detail=f"the graph takes {', '.join(sorted(taken))} and gives {', '.join(sorted(given))}"
        )


def cuda_listed() -> bool:
    """Whether this runtime was built for CUDA; whether a device answers is known only after opening a session."""
    return CUDA in ort.get_available_providers()
