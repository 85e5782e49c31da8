"""The factory end to end on tiny models and made-up data: every step, resumption, the gate, two processes, and serving what came out."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks.processes import curve, largest_gap
from models.bundle import load_manifest
from models.classifier import Classifier
from models.generator import Generator
from models.session import Execution
from models.signature import new_key_pair
from models.tagger import Tagger
from training import loop
from training.card import CARDS, attributes_of
from training.curve import curve_of, machine_of
from training.evaluation import scores_of
from training.examples import token_documents
from training.gate import judge
from training.quantize import quantize_statically
from training.recipe import Distil, Prune, Recipe
from training.steps import distil, evaluate, export, pretrain, prune, quantize, train
from training.steps.bundle import release

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _here(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDSTREAM_DATA", str(data))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "key"
    private, public = new_key_pair()
    path.write_bytes(private)
    path.with_name("key.pub").write_text(public, encoding="ascii")
    return path


def recipe_of(out: Path, tiny: Path, **fields: Any) -> Recipe:
    given = {
        "name": "one", "task": "entities", "seed": 3, "start": str(tiny), "epochs": 14.0, "learning_rate": 4e-3, "batch_tokens": 512,
        "dropout": 0.0, "lengths": (64,), "documents": 30, "recase_share": 0.0, "precision": "no", "out": str(out), "bundle": "wardstream-entities",
        "window_tokens": 64, "window_overlap": 8, "repeats": {"orders": 0.5},
    }  # fmt: skip
    return Recipe(**given | fields)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny: Path, data: Path) -> Recipe:
    """A tiny entity model that has learned its made-up world, exported and quantized."""
    os.environ["WARDSTREAM_DATA"] = str(data)
    recipe = recipe_of(tmp_path_factory.mktemp("out"), tiny)
    for step in (train, export, quantize, evaluate):
        step.run(recipe)
    return recipe


def test_it_learns_and_says_so(trained: Recipe) -> None:
    """The loss falls, and strict F1 on held-apart made-up text is high in float32 and int8, in the report too."""
    curve = curve_of(trained.checkpoint)
    assert curve[-1]["loss"] < 0.3 * curve[0]["loss"]
    scores = json.loads((trained.checkpoint / "scores.json").read_text())
    assert scores["onnx"]["bc5cdr-all"]["f1"] > 0.9
    assert abs(scores["onnx"]["bc5cdr-all"]["f1"] - scores["int8"]["bc5cdr-all"]["f1"]) <= 0.05
    report = (trained.checkpoint / "report.md").read_text()
    assert scores["int8"]["calibration"]["temperature"] > 0
    assert "curve.svg" in report
    assert "Parity with PyTorch" in report
    assert (trained.checkpoint / "curve.svg").stat().st_size > 1000


def test_a_teacher_is_scored_without_graphs(trained: Recipe) -> None:
    """A checkpoint that was never exported gets PyTorch's scores, those of its float32 graph within bf16's rounding."""
    teacher = msgspec.structs.replace(trained, name="teacher")
    teacher.checkpoint.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        shutil.copy(trained.checkpoint / name, teacher.checkpoint)
    evaluate.run(teacher)
    scores = json.loads((teacher.checkpoint / "scores.json").read_text())
    graph = json.loads((trained.checkpoint / "scores.json").read_text())["onnx"]
    assert list(scores) == ["pytorch"]
    assert scores["pytorch"]["bc5cdr-all"]["f1"] == pytest.approx(graph["bc5cdr-all"]["f1"], abs=0.03)


def test_a_run_says_on_what_it_was_made(trained: Recipe, key: Path, tmp_path: Path) -> None:
    """Device and torch stand beside the curve and in the card of the bundle."""
    machine = machine_of(trained.checkpoint)
    assert machine["processes"] == 1
    _, folder = release(trained, version="1.0.0", key=key, shelf=tmp_path)
    assert folder is not None
    assert f"trained on {machine['device']} with torch {machine['torch']}" in (folder / "MODEL_CARD.md").read_text()


def test_replaced_mentions_come_as_corpora_of_their_own(tiny: Path, tmp_path: Path) -> None:
    """Copies stand beside the corpora, under names that ``repeats`` knows."""
    plain = token_documents(recipe_of(tmp_path, tiny), "entities")
    found = token_documents(recipe_of(tmp_path, tiny, replaced_share=1.0), "entities")
    assert set(found) - set(plain) == {"bc5cdr-replaced", "ncbi-replaced", "maccrobat-replaced"}
    texts = {d.text for d in plain["bc5cdr"]}
    assert any(d.text not in texts for d in found["bc5cdr-replaced"])


def test_a_bundle_passes_the_gate_is_signed_and_serves(trained: Recipe, key: Path, tmp_path: Path) -> None:
    """What the factory puts on the shelf loads with the maker's key alone, and tags."""
    verdict, folder = release(trained, version="1.0.0", key=key, shelf=tmp_path)
    assert verdict.passed, verdict.reasons
    assert folder is not None
    manifest = load_manifest(folder, trusted_keys=key.parent)
    assert (manifest.family, manifest.task) == ("bert", "token-classification")
    assert len(manifest.attributes) == 31
    with Tagger.load(folder, trusted_keys=key.parent, execution=Execution(threads=2)) as tagger:
        text = "The patient took warfarin for gout ."
        assert {text[s.start : s.end] for s in tagger.tag(text)} == {"warfarin", "gout"}


def test_the_gate_catches_static_quantization(trained: Recipe, tmp_path: Path) -> None:
    """Activation ranges fixed from one blank text ruin the model, and the gate says where; dynamic int8 of the same model passes."""
    import numpy as np

    ruined = msgspec.structs.replace(trained, name="ruined")
    shutil.copytree(trained.checkpoint, ruined.checkpoint)
    blank = np.array([[101, 102]])
    feed = {"input_ids": blank, "attention_mask": np.ones_like(blank), "token_type_ids": np.zeros_like(blank)}
    quantize_statically(trained.checkpoint / "model.fp32.onnx", ruined.checkpoint / "model.onnx", [feed])
    full = scores_of(trained, ".fp32")
    verdict = judge(full, scores_of(ruined, ""))
    assert not verdict.passed
    assert any("bc5cdr-all" in reason for reason in verdict.reasons)
    assert judge(full, full).passed


def test_the_gate_protects_a_class(trained: Recipe, key: Path, tmp_path: Path) -> None:
    """A bundle that finds less of one class than the one on the shelf is refused, and nothing is placed."""
    release(trained, version="1.0.0", key=key, shelf=tmp_path)
    worse = msgspec.structs.replace(trained, name="worse")
    shutil.copytree(trained.checkpoint, worse.checkpoint)
    scores = json.loads((worse.checkpoint / "scores.json").read_text())
    for kind in scores.values():
        kind["bc5cdr-medication"]["recall"] -= 0.1
    (worse.checkpoint / "scores.json").write_text(json.dumps(scores))
    verdict, folder = release(worse, version="1.1.0", key=key, shelf=tmp_path, trusted_keys=key.parent)
    assert folder is None
    assert any("bc5cdr-medication: recall" in reason for reason in verdict.reasons)
    assert not (tmp_path / "wardstream-entities" / "1.1.0").exists()


def test_an_interrupted_run_goes_on_to_the_same_end(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after a state was saved and started again, a run ends with the weights of one that was never interrupted."""
    from safetensors.numpy import load_file

    whole = recipe_of(tmp_path / "whole", tiny, epochs=3.0, save_every=4)
    broken = msgspec.structs.replace(whole, out=str(tmp_path / "broken"))
    train.run(whole)
    save = loop._save

    def save_and_die(*arguments: Any) -> None:
        save(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "_save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        train.run(broken)
    monkeypatch.setattr(loop, "_save", save)
    monkeypatch.setattr(Recipe, "digest", property(lambda self: "the folder is no part of what is learned"))
    progress = broken.checkpoint / "state" / "progress.json"
    progress.write_text(
        progress.read_text().replace(json.loads(progress.read_text())["recipe"], "the folder is no part of what is learned")
    )
    train.run(broken)
    one, other = (load_file(r.checkpoint / "model.safetensors") for r in (whole, broken))
    assert all((one[name] == other[name]).all() for name in one)
    assert [row["loss"] for row in curve_of(whole.checkpoint)] == [row["loss"] for row in curve_of(broken.checkpoint)]


def test_a_student_learns_from_two_teachers(trained: Recipe, tmp_path: Path) -> None:
    """One layer learns what two layers say, mostly from them; hidden states need a single teacher."""
    student = msgspec.structs.replace(
        trained,
        name="student",
        layers=(0,),
        epochs=6.0,
        distil=Distil(
            teachers=(str(trained.checkpoint), str(trained.checkpoint)), labels=0.1, hidden=0.0, unlabelled=0.5, windows=(64, 64)
        ),
    )
    distil.run(student)
    for step in (export, quantize, evaluate):
        step.run(student)
    scores = json.loads((student.checkpoint / "scores.json").read_text())
    assert scores["int8"]["bc5cdr-all"]["f1"] > 0.8
    single = msgspec.structs.replace(
        student,
        name="single",
        epochs=0.5,
        distil=Distil(teachers=(str(trained.checkpoint),), hidden=0.1, unlabelled=0.5, windows=(64,)),
    )
    distil.run(single)
    with pytest.raises(ValueError, match="one teacher"):
        distil.run(msgspec.structs.replace(student, distil=Distil(teachers=("a", "b"), hidden=0.1)))


def test_a_pruned_model_goes_the_same_way(trained: Recipe) -> None:
    """Fewer heads, narrower layers and a smaller vocabulary, then trained once more: smaller, and as good here."""
    pruned = msgspec.structs.replace(
        trained, name="pruned", start=str(trained.checkpoint), prune=Prune(heads=0.5, feed_forward=0.5, vocabulary_least=1)
    )
    prune.run(pruned)
    again = msgspec.structs.replace(trained, name="again", start=str(pruned.checkpoint), epochs=10.0)
    for step in (train, export, quantize, evaluate):
        step.run(again)
    scores = json.loads((again.checkpoint / "scores.json").read_text())
    assert scores["int8"]["bc5cdr-all"]["f1"] > 0.85
    sizes = [(r.checkpoint / "model.onnx").stat().st_size for r in (again, trained)]
    assert sizes[0] < 0.6 * sizes[1]


def test_a_second_head_learns_along_and_is_dropped(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Identifiers are learned on the same encoder in a share of the batches; what is saved has the head of the main task alone."""
    import training.examples as examples
    from training.data.document import Document, GoldSpan

    named = [Document(f"n{k}", "Seen by Zoe today.", (GoldSpan(8, 11, ("NAME",)),), frozenset({"NAME"})) for k in range(40)]
    monkeypatch.setattr(examples, "phi_training", lambda *_, **__: {"names": named})
    recipe = recipe_of(tmp_path, tiny, epochs=2.0, auxiliary={"phi": 0.3})
    train.run(recipe)
    plain = recipe_of(tmp_path, tiny, name="plain", epochs=2.0)
    train.run(plain)
    assert curve_of(recipe.checkpoint)[-1]["step"] > 1.2 * curve_of(plain.checkpoint)[-1]["step"]
    assert len(json.loads((recipe.checkpoint / "config.json").read_text())["id2label"]) == 25
    with pytest.raises(ValueError, match="token tasks"):
        train.run(msgspec.structs.replace(recipe, name="wrong", auxiliary={"flags": 0.3}))


def test_pretraining_lowers_its_loss(tiny: Path, tmp_path: Path) -> None:
    """Masked words of the made-up texts are guessed better at the end, and the encoder can be started from."""
    recipe = recipe_of(tmp_path, tiny, name="pretrained", task="pretraining", epochs=8.0, batch_tokens=256)
    pretrain.run(recipe)
    curve = curve_of(recipe.checkpoint)
    assert curve[-1]["loss"] < 0.8 * curve[0]["loss"]
    train.run(recipe_of(tmp_path, tiny, start="pretrained", epochs=0.1))


FAMILIES = [
    ("distilbert", "flags", {}, Classifier),
    ("roberta", "messages", {}, Classifier),
    ("xlnet", "vitals", {"sizes": {"n_layer": 1, "n_head": 4, "d_model": 32}}, Classifier),
    ("t5", "explanations", {"sizes": {"n_layer": 1, "d_model": 32, "n_head": 4}, "max_new_tokens": 20}, Generator),
    ("longformer", "entities", {"sizes": {"window": 32}, "window_tokens": 256}, Tagger),
]


@pytest.mark.parametrize(("family", "task", "fields", "kind"), FAMILIES, ids=[f[0] for f in FAMILIES])
def test_every_family_goes_from_data_to_serving(
    family: str, task: str, fields: dict[str, Any], kind: Any, tiny: Path, key: Path, tmp_path: Path
) -> None:
    """Train, export, quantize, evaluate, sign, load, use: through the same steps and the same interface of ``models``."""
    recipe = recipe_of(
        tmp_path / "out",
        tiny,
        name=family,
        family=family,
        task=task,
        epochs=0.3,
        documents=60,
        lengths=(64, 128),
        bundle=f"tiny-{family}",
        **{"repeats": {}, **fields},
    )
    for step in (train, export, quantize, evaluate):
        step.run(recipe)
    scores = json.loads((recipe.checkpoint / "scores.json").read_text())
    assert any(name.endswith("-all") for name in scores["int8"])
    from training.bundle import make
    from training.gate import Verdict

    folder = make(recipe, "0.1.0", tmp_path / "shelf", scores=scores["int8"], gate=Verdict(True, (), 1), key=key)
    with kind.load(folder, trusted_keys=key.parent) as opened:
        assert opened.manifest.family == family
        if kind is Generator:
            assert isinstance(opened.generate("lab-high | test = [1]"), str)
        elif kind is Classifier:
            numbers = [n.mean for n in opened.manifest.numbers]
            alone = opened.classify("Fell twice this week.", numbers)
            assert set(alone) == set(opened.manifest.labels)
            assert all(0 <= p <= 1 for p in alone.values())
            company = opened.classify_many(["x " * 300, "Fell twice this week.", ""], [numbers] * 3)
            assert company[1] == alone
        else:
            assert isinstance(opened.tag("warfarin " * 400), tuple)


def test_two_processes_follow_the_curve_of_one(tiny: Path, data: Path, tmp_path: Path) -> None:
    """accelerate with gloo: each process takes half of every batch, and the loss curve stays the same within noise."""
    curves = []
    for processes in (1, 2):
        recipe = recipe_of(tmp_path / str(processes), tiny, epochs=3.0)
        curves.append(curve(recipe, processes, timeout=240, environment={"WARDSTREAM_DATA": str(data)}))
    assert len(curves[0]) == len(curves[1]) > 1
    assert largest_gap(*curves) <= 0.05, curves


def test_every_card_states_all_31_source_attributes() -> None:
    """Groups and numbers of attributes are the rule's; no bundle leaves one empty."""
    for path in CARDS.glob("wardstream-*.toml"):
        groups = attributes_of(path.stem)
        assert [len(g) for g in groups.values()] == [4, 4, 2, 4, 2, 4, 5, 4, 2]
        assert all(text and text != "Set by the bundle" for g in groups.values() for text in g.values()), path.name
