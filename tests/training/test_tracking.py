"""Runs in MLflow: a file store by default, everything about a run but no text of a note."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from benchmarks.loop_world import label
from schemas.errors import ConfigurationError
from schemas.releases import BundleRef
from schemas.runs import TrainingRun
from training import tracking
from training.curve import CURVE
from training.recipe import Recipe
from training.retrain import prepared, write_run

RUN = TrainingRun(
    id="r1", model="wardstream-entities", trigger="labels", began="2026-03-01T00:00:00+00:00", outcome="started",
    champion=BundleRef("0.4.0", "0" * 64), learned=1, held=1, data={"learned.jsonl": "3" * 64},
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder as it is when its training has ended."""
    made = tmp_path / "runs" / "one"
    rows = [label(f"Took zolvantrimab, {name}.", name, name, "2026-01-01T00:00:00+00:00") for name in ("first", "second")]
    base = Recipe(name="base", task="entities", seed=1, learning_rate=1e-3, bundle="wardstream-entities")
    recipe = prepared(made, base, rows[:1], rows[1:], checkpoint=None, epochs=1.0)
    recipe.checkpoint.mkdir()
    curve = [{"step": k, "loss": 1.0 / k, "last": 1.0 / k, "rate": 1e-3, "seconds": 1.0} for k in (20, 40)]
    (recipe.checkpoint / CURVE).write_text("".join(json.dumps(row) + "\n" for row in curve))
    write_run(made, msgspec.json.encode(RUN))
    return made


def test_a_run_is_in_the_file_store_beside_the_runs_with_its_curve_and_digests(folder: Path) -> None:
    """Parameters, tags, both points of the curve, artefacts; a failed run is marked as failed; no file there holds a note."""
    name = tracking.begin(folder, "")
    write_run(folder, msgspec.json.encode(msgspec.structs.replace(RUN, tracking=name, outcome="failed", failed="train")))
    assert tracking.end(folder, "") == name
    client = tracking.client_of("", folder)
    run = client.get_run(name)
    assert run.info.status == "FAILED"
    assert (run.data.params["learning_rate"], run.data.tags["trigger"]) == ("0.001", "labels")
    assert run.data.tags["sha256.learned.jsonl"] == "3" * 64
    assert [(m.step, m.value) for m in client.get_metric_history(name, "loss")] == [(20, 0.05), (40, 0.025)]
    assert {"recipe.json", CURVE} <= {one.path for one in client.list_artifacts(name)}
    store = folder.parent / tracking.FILE_STORE
    assert store.is_dir()
    assert not [path for path in store.rglob("*") if path.is_file() and b"zolvantrimab" in path.read_bytes()]
    assert b"zolvantrimab" in (folder / "learned.jsonl").read_bytes()


def test_without_mlflow_it_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is trained: beginning a run is the first step."""
    monkeypatch.setattr(tracking, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match="extra train"):
        tracking.begin(folder, "")
