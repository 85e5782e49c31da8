"""A run of two processes through accelerate: from labels and a recipe to a signed bundle."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest

from benchmarks.loop_world import DRUGS, PROSE, label, note
from benchmarks.rebundled import own_key
from models.bundle import load_manifest
from training.curve import machine_of
from training.recipe import Recipe
from training.retrain import Machine, make, prepared

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.timeout(900)


def test_two_processes_make_a_bundle_that_loads(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its manifest names the reviewed labels as its data, its scores are on those that were held; both processes trained."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    random = Random(1)
    rows = [label(note(random, PROSE, DRUGS), f"{k}", f"p{k}", "2026-01-01T00:00:00+00:00") for k in range(60)]
    base = Recipe(
        name="base", task="entities", seed=3, start=str(tiny), epochs=16.0, learning_rate=4e-3, batch_tokens=512, dropout=0.0, lengths=(64,),
        recase_share=0.0, precision="no", bundle="wardstream-entities", window_tokens=64, window_overlap=8, corpora=False,
    )  # fmt: skip
    folder, key, said = tmp_path / "run", own_key(tmp_path), list[str]()
    recipe = prepared(folder, base, rows[:45], rows[45:], checkpoint=None, epochs=1.0)
    bundle = make(folder, recipe, "0.4.1", key, Machine(Path(sys.executable), processes=2), said.append)
    manifest = load_manifest(bundle, trusted_keys=tmp_path / "trusted")
    assert manifest.version == "0.4.1"
    assert [source.name for source in manifest.data] == ["reviewed"]
    assert manifest.scores["held-all"]["f1"] > 0.5
    assert said[0] == "train"
    assert machine_of(recipe.checkpoint)["processes"] == 2
