"""One retraining run: what it learns, the recipe that says so, and the steps of the factory in processes of their own. No torch here.

A run is a folder: ``learned.jsonl`` and ``held.jsonl`` (reviewed labels, apart by patient), ``recipe.json``, the checkpoint, ``shelf/`` with the
challenger's signed bundle, ``run.json``, and the steps' output in ``steps.log``.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from schemas.errors import ConfigurationError, WardstreamError
from schemas.ids import draw
from schemas.labels import ReviewedLabel
from training.recipe import Annotated, Recipe
from training.tasks import flags

LEARNED, HELD, RECIPE, LOG, RUN = "learned.jsonl", "held.jsonl", "recipe.json", "steps.log", "run.json"
#: Names of the reviewed labels in a recipe: ``repeats`` may give ``reviewed`` more weight.
REVIEWED, APART = "reviewed", "held"
#: A model that goes on learning takes smaller steps than one that begins: at the full rate it forgets what no new text repeats.
_CONTINUED_RATE: Final = 0.3


class StepFailed(WardstreamError):
    """A step of the factory ended with an error; ``path`` is its name, the run's ``steps.log`` says more."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the steps run: ``python`` of the training environment, ``processes`` of ``train`` (through accelerate)."""

    python: Path
    processes: int = 1


def apart(labels: Iterable[ReviewedLabel], share: float) -> tuple[list[ReviewedLabel], list[ReviewedLabel]]:
    """Labels to learn and labels to judge by; of several on one note the last decided.

    A patient is on one side for good, whatever run asks, so that no later challenger is judged by notes that an earlier one learned.
    """
    last = {label.note.sha256: label for label in sorted(labels, key=lambda one: (one.decided, one.id))}
    sides: tuple[list[ReviewedLabel], list[ReviewedLabel]] = ([], [])
    for label in sorted(last.values(), key=lambda one: (one.decided, one.id)):
        sides[draw("held", label.subject) < share].append(label)
    return sides


def next_version(champion: str, taken: Iterable[str]) -> str:
    """The version after the champion's and those of earlier runs: its last number grows."""
    *head, last = champion.split(".")
    numbers = [int(last), *(int(one.rpartition(".")[2]) for one in taken if one.split(".")[:-1] == head)]
    return ".".join((*head, str(max(numbers) + 1)))


def prepared(
    folder: Path,
    base: Recipe,
    learned: Sequence[ReviewedLabel],
    held: Sequence[ReviewedLabel],
    *,
    checkpoint: Path | None,
    epochs: float,
    store: str = "",
) -> Recipe:
    """Write the run's labels and recipe, and return it.

    The recipe's corpora stay in, so that what the champion knows is repeated to it. From ``checkpoint``, the champion's, it learns ``epochs`` in
    smaller steps; where that is not at hand, the recipe is followed from its own start. ``store``: the label store that is told which labels the
    bundle learned from, so that an erasure can name it.

    Raises:
        ConfigurationError: there is nothing to learn, or nothing to judge by.
    """
    if base.task == "flags":  # a label with no verdict that a class can learn from says nothing of flags
        learned, held = ([label for label in rows if flags.reviewed((label,))] for rows in (learned, held))
    if not learned or not (held or base.corpora or base.development):
        raise ConfigurationError(
            path="labels", detail="too few reviewed labels: some to learn and some of other patients to judge by"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in ((LEARNED, learned), (HELD, held)):
        (folder / name).write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    made = msgspec.structs.replace(
        base,
        name="checkpoint",
        out=str(folder),
        annotated=base.annotated | {REVIEWED: Annotated(str(folder / LEARNED), "reviewed", store=store)},
        development=base.development | ({APART: Annotated(str(folder / HELD), "reviewed")} if held else {}),
    )
    if made.distil is not None and not all((base.folder_of(name) / "config.json").exists() for name in made.distil.teachers):
        made = msgspec.structs.replace(made, distil=None)  # its teachers are not at hand: the labels alone teach
    if checkpoint is not None:
        made = msgspec.structs.replace(
            made,
            start=str(checkpoint.resolve()),
            layers=(),
            distil=None,
            prune=None,
            epochs=epochs,
            learning_rate=base.learning_rate * _CONTINUED_RATE,
        )
    elif base.start:
        made = msgspec.structs.replace(made, start=str(base.folder_of(base.start).resolve()))
    (folder / RECIPE).write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n")
    return made


def make(folder: Path, recipe: Recipe, version: str, key: Path, machine: Machine, say: Callable[[str], None]) -> Path:
    """Train, then export, quantize, evaluate and sign (``training.finish``), in processes of their own; returns the folder of the challenger's
    bundle.

    Raises:
        StepFailed: one of them ended with an error.
    """
    first = "train" if recipe.distil is None else "distil"
    say(first)
    together = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(machine.processes)]
    command = ["-m", "ops.cli", first, str(folder / RECIPE)]
    _step(first, [str(machine.python), *(together if machine.processes > 1 else []), *command], folder)
    say("export, quantize, evaluate, bundle")
    rest = [
        "-m",
        "training.finish",
        str(folder / RECIPE),
        "--version",
        version,
        "--key",
        str(key),
        "--shelf",
        str(folder / "shelf"),
    ]
    _step("finish", [str(machine.python), *rest], folder)
    return folder / "shelf" / recipe.bundle / version


def track(what: str, folder: Path, python: Path, address: str) -> str:
    """``begin`` or ``end`` the run in MLflow (``training.tracking``); returns what it says.

    Raises:
        StepFailed: MLflow is not installed there, or its store does not answer.
    """
    return _step("tracking", [str(python), "-m", "training.tracking", what, str(folder), "--uri", address], folder).strip()


def _step(name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> str:
    with (folder / LOG).open("a", encoding="utf-8") as log:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **(environment or {})}, check=False
        )
        log.write(done.stdout)
    if done.returncode:
        raise StepFailed(path=name, detail=f"ended with code {done.returncode}; see {LOG} of the run")
    return done.stdout


def write_run(folder: Path, content: bytes) -> None:
    """Keep the run's record beside what it made."""
    (folder / RUN).write_text(json.dumps(json.loads(content), indent=1) + "\n", encoding="utf-8")
