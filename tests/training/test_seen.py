"""A recipe that learns from a store of labels: what it saw is known to the bundle, to its students, and to an erasure."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from models.bundle import load_manifest
from models.signature import new_key_pair
from models.store import digest_of
from schemas.errors import ConfigurationError
from schemas.labels import ReviewedSpan
from tests.support.labels import label, text_note
from training import seen
from training.examples import token_documents
from training.label_store.store import LabelStore
from training.recipe import Annotated, Distil, Recipe, load_recipe
from training.seen import SEEN, inherit, seen_by
from training.steps import distil, export, quantize, train
from training.steps.bundle import release
from training.steps.evaluate import SCORES

NOTE = text_note("Zorbanol for gout.")
FAIR = {"ward-all": {"f1": 0.6, "recall": 0.6, "support": 100.0}}
SPANS = (ReviewedSpan(start=0, end=8, type="medication"), ReviewedSpan(start=13, end=17, type="problem"))


@pytest.fixture(autouse=True)
def _here(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDSTREAM_DATA", str(data))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    made = LabelStore(str(tmp_path / "labels"))
    rows = [
        label("old", "a", annotated=("problem",), note=NOTE, spans=SPANS[1:], decided="2026-03-03T08:00:00Z"),
        label(
            "new", "a", annotated=("problem", "medication"), note=NOTE, spans=SPANS, reviewer="r2", decided="2026-03-04T10:00:00Z"
        ),
        label("k", "b", "W2"),
    ]
    made.write(rows)
    return made


def recipe_of(out: Path, tiny: Path, **fields: Any) -> Recipe:
    given = {
        "name": "one", "task": "entities", "seed": 3, "start": str(tiny), "epochs": 0.5, "learning_rate": 4e-3, "batch_tokens": 512,
        "dropout": 0.0, "lengths": (64,), "documents": 10, "recase_share": 0.0, "precision": "no", "out": str(out / "out"),
        "bundle": "wardstream-entities", "window_tokens": 64, "window_overlap": 8,
    }  # fmt: skip
    return Recipe(**given | fields)


def from_store(out: Path) -> dict[str, Annotated]:
    return {"ward": Annotated(path=str(out / "labels"), format="store")}


def test_the_last_verdict_on_each_sample_is_learned(store: LabelStore, tiny: Path, tmp_path: Path) -> None:
    """One document a sample, complete for what its reviewer annotated; the recipe file names the store's address."""
    (tmp_path / "r.toml").write_text(
        f'name = "one"\ntask = "entities"\nseed = 1\nstart = "{tiny}"\nout = "{tmp_path}/out"\ndocuments = 10\n'
        f'recase_share = 0.0\n[annotated.ward]\npath = "{tmp_path}/labels"\nformat = "store"\n'
    )
    recipe = load_recipe(tmp_path / "r.toml")
    found = {document.id: document for document in token_documents(recipe, "entities")["ward"]}
    assert set(found) == {"reviewed-new", "reviewed-k"}
    assert found["reviewed-new"].annotated == {"problem", "medication"}
    assert [span.types for span in found["reviewed-new"].spans] == [("medication",), ("problem",)]
    assert seen_by(recipe.checkpoint)[f"{tmp_path}/labels"].labels == ("k", "new")
    plain = msgspec.structs.replace(recipe, annotated={})
    token_documents(plain, "entities")
    assert seen_by(plain.checkpoint) == {}


def test_labels_of_a_file_that_a_store_holds_too_are_seen(store: LabelStore, tiny: Path, tmp_path: Path) -> None:
    """A retraining run learns from a file of its own; the store is told all the same, where the recipe names it."""
    path = tmp_path / "learned.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in store.labels() if row.id != "k"))
    for address, expected in ((f"{tmp_path}/labels", {"new"}), ("", set())):
        recipe = recipe_of(tmp_path, tiny, annotated={"reviewed": Annotated(str(path), "reviewed", store=address)})
        token_documents(recipe, "entities")
        found = seen_by(recipe.checkpoint)
        assert {label for row in found.values() for label in row.labels} >= expected
        assert bool(found) is bool(address)


def test_a_damaged_store_is_not_trained_on(store: LabelStore, tiny: Path, tmp_path: Path) -> None:
    """The step ends with a coded error before a step is made."""
    part = next((tmp_path / "labels").rglob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(ConfigurationError, match="not what the manifest says"):
        train.run(recipe_of(tmp_path, tiny, annotated=from_store(tmp_path)))


def test_a_bundle_a_student_and_an_erasure(store: LabelStore, tiny: Path, tmp_path: Path) -> None:
    """The manifest names the store's digest at the time of training; the student saw what its teacher saw; both are marked when the patient is
    erased, a model that saw nobody's labels is not."""
    digest = store.manifest().digest
    teacher = recipe_of(tmp_path, tiny, annotated=from_store(tmp_path))
    student = recipe_of(tmp_path, tiny, name="two", distil=Distil(teachers=("one",), hidden=0.0, unlabelled=0.0))
    train.run(teacher)
    distil.run(student)
    store.write([label("later", "c")])
    key = tmp_path / "keys" / "key"
    key.parent.mkdir()
    private, public = new_key_pair()
    key.write_bytes(private)
    key.with_name("key.pub").write_text(public, encoding="ascii")
    bundles = {}
    for version, recipe in (("1.0.0", teacher), ("2.0.0", student)):
        for step in (export, quantize):
            step.run(recipe)
        (recipe.checkpoint / SCORES).write_text(json.dumps({"onnx": FAIR, "int8": FAIR}))  # so tiny a model learns nothing
        verdict, folder = release(recipe, version=version, key=key, shelf=tmp_path / recipe.name, margin=1.0)
        assert folder is not None, verdict.reasons
        bundles[recipe.name] = digest_of(folder)
        assert digest in {source.digest for source in load_manifest(folder, trusted_keys=key.parent).data}
    seen.record(tmp_path / "out" / "stranger", "0" * 64, name="n", version="1", time="2026-03-09T00:00:00Z")
    trained = store.manifest().trained
    assert set(bundles.values()) == trained.keys()
    assert {one.labels for one in trained.values()} == {2}
    assert {one.store for one in trained.values()} == {digest}
    found = store.erase(["W2"], datetime(2026, 3, 10, tzinfo=UTC))
    assert {one.bundle for one in found.models} == {bundles["one"], bundles["two"]}


def test_what_was_seen_is_never_lost_on_the_way(store: LabelStore, tiny: Path, tmp_path: Path) -> None:
    """A checkpoint adds its own labels to those of its start."""
    first = recipe_of(tmp_path, tiny, annotated=from_store(tmp_path))
    token_documents(first, "entities")
    store.write([label("later", "c")])
    second = recipe_of(tmp_path, tiny, name="two", start="one")
    assert not (second.checkpoint / SEEN).exists()
    inherit(second)
    assert seen_by(second.checkpoint) == seen_by(first.checkpoint)
    third = recipe_of(tmp_path, tiny, name="three", start="two", annotated=from_store(tmp_path))
    token_documents(third, "entities")
    inherit(third)
    (known,) = seen_by(third.checkpoint).values()
    assert known.labels == ("k", "later", "new")
    assert known.digest == store.manifest().digest
