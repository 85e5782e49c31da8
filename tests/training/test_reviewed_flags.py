"""Verdicts on flags teach the flag classifier: what a reviewer called wrong is found no longer, what nobody judged is left as it was."""

from __future__ import annotations

from pathlib import Path
from random import Random
from types import SimpleNamespace

import msgspec
import pytest
import torch

from schemas.errors import ConfigurationError
from schemas.labels import ReviewedLabel
from schemas.samples import FlagEvidence
from tests.support.labels import label, text_note
from training.evaluation import scores_of
from training.examples import task_of, text_development
from training.families import Head
from training.loss import class_loss
from training.recipe import Annotated, Recipe
from training.start import save, start
from training.steps import export, quantize, train

RIGHT = ("Fell twice in the kitchen", "Unsteady gait, fell yesterday", "Two falls since Monday")
WRONG = ("Fell asleep in the chair", "Fell in love again", "Blood pressure fell nicely")


@pytest.fixture(autouse=True)
def _here(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDSTREAM_DATA", str(data))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def reviewed(path: Path, count: int, seed: int) -> Path:
    random = Random(seed)
    rows: list[ReviewedLabel] = []
    for k in range(count):
        right = random.random() < 0.5
        text = random.choice(RIGHT if right else WRONG)
        made = label(f"{seed}-{k}", f"{k}", note=text_note(f"Seen today. {text}. Doing well."), spans=())
        evidence = {"f": FlagEvidence(type="fall.risk", spans=((12, 12 + len(text)),))}
        assert isinstance(made.record, ReviewedLabel)
        rows.append(msgspec.structs.replace(made.record, flags={"f": "right" if right else "wrong"}, evidence=evidence))
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return path


def recipe_of(tmp_path: Path, tiny: Path, **fields: object) -> Recipe:
    given = {
        "name": "flags", "task": "flags", "family": "distilbert", "seed": 3, "start": str(tiny), "epochs": 10.0, "learning_rate": 4e-3,
        "batch_tokens": 512, "dropout": 0.0, "lengths": (32,), "corpora": False, "precision": "no", "out": str(tmp_path),
        "bundle": "wardstream-flags", "window_tokens": 64, "window_overlap": 0,
    }  # fmt: skip
    return Recipe(**given | fields)  # type: ignore[arg-type]


def test_verdicts_alone_teach_a_classifier(tiny: Path, tmp_path: Path) -> None:
    """From reviewed labels to a graph that tells falls from what only reads like one, on labels that were held; a class that nobody judged has no figure."""
    learned, held = reviewed(tmp_path / "learned.jsonl", 120, 1), reviewed(tmp_path / "held.jsonl", 60, 2)
    recipe = recipe_of(
        tmp_path, tiny, annotated={"reviewed": Annotated(str(learned), "reviewed")},
        development={"held": Annotated(str(held), "reviewed")},
    )  # fmt: skip
    for step in (train, export, quantize):
        step.run(recipe)
    found = scores_of(recipe, "")
    assert found["held-fall-risk"]["f1"] > 0.9
    assert found["held-suicidal-ideation"]["support"] == 0
    assert found["calibration"] == {}


def test_a_classifier_goes_on_from_its_own_checkpoint(tiny: Path, tmp_path: Path) -> None:
    """Without a step it says what it said, head included; a task with other classes, and another family's checkpoint, are refused."""
    learned = reviewed(tmp_path / "learned.jsonl", 8, 1)
    first = recipe_of(tmp_path, tiny, annotated={"reviewed": Annotated(str(learned), "reviewed")})
    task = task_of(first, tiny / "tokenizer.json")
    begun = start(first, task)
    save(begun, first, tiny / "tokenizer.json")
    again = start(msgspec.structs.replace(first, name="again", start=str(first.checkpoint)), task)
    before, after = begun.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    for other, head in (("distilbert", Head("text", ("a",), True)), ("roberta", task.head)):
        with pytest.raises(ConfigurationError):
            start(
                msgspec.structs.replace(first, family=other, start=str(first.checkpoint)), SimpleNamespace(head=head, numbers=0)
            )


def test_what_nobody_judged_has_no_gradient() -> None:
    """The loss is that of the known classes, and 0 where nothing is known."""
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]], requires_grad=True)
    target = torch.tensor([[1.0, float("nan")], [float("nan"), 0.0]])
    class_loss(logits, target, multi_label=True).backward()
    assert logits.grad is not None
    assert (logits.grad != 0).tolist() == [[True, False], [False, True]]
    unknown = class_loss(logits, torch.full((2, 2), float("nan")), multi_label=True)
    assert unknown.item() == 0
    full = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    whole = torch.nn.functional.binary_cross_entropy_with_logits(logits, full)
    assert torch.allclose(class_loss(logits, full, multi_label=True), whole)


@pytest.mark.parametrize(("task", "kind"), [("messages", "reviewed"), ("flags", "doccano")])
def test_texts_that_a_task_cannot_learn_from_are_refused(task: str, kind: str, tiny: Path, tmp_path: Path) -> None:
    """Before anything is trained, by the setting's name: they are not left out in silence."""
    path = reviewed(tmp_path / "l.jsonl", 2, 1)
    recipe = recipe_of(tmp_path, tiny, task=task, corpora=True, documents=10, annotated={"own": Annotated(str(path), kind)})
    with pytest.raises(ConfigurationError, match="annotated"):
        task_of(recipe, tiny / "tokenizer.json")
    with pytest.raises(ConfigurationError, match="development"):
        text_development(msgspec.structs.replace(recipe, development=recipe.annotated))
