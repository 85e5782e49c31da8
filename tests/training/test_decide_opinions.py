"""Classifiers beside the rules, on graphs whose answers can be computed by hand: what they say, on which values, and whether the rule agrees."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.decide.context import PatientContext
from agents.decide.opinions import Opinions
from agents.decide.ruleset import RuleSet
from agents.decide.step import Decider
from agents.offline import Offline
from models.bundle import NumberInput
from models.classifier import Classifier
from ops.agreement import Agreement, count, kappa
from schemas.clinical import Coding, Fact
from schemas.findings import Findings, FindingsNote
from schemas.flags import Decision
from streams.settings import Settings
from tests.training.tiny_bundle import classifier_graph, tokenizer, write_bundle

#: "calm" speaks for the first class, "pain" for the second, "fever" against both.
ROWS = [[0.0, 0.0]] * 4 + [[4.0, 0.0], [0.0, 4.0], [-4.0, -4.0]]
LABELS = ("suicidal-ideation", "uncontrolled-pain")
RULES = RuleSet.load()


def classifier(folder: Path, **fields: Any) -> Classifier:
    numbers = bool(fields.get("numbers"))
    inputs = ("input_ids", "attention_mask", *(("numbers", "numbers_mask") if numbers else ()))
    graph = classifier_graph(ROWS, [[1.0, 0.0]] if numbers else None)
    given = {"inputs": inputs, "multi_label": True, "labels": LABELS} | fields
    return Classifier.load(
        folder, trusted_keys=write_bundle(folder, {"model.onnx": graph, "tokenizer.json": tokenizer()}, **given)
    )


def message(text: str = "", facts: tuple[Fact, ...] = (), elapsed: int = 600) -> Findings:
    note = FindingsNote(path="OBX[1]-5", text=text, sha256=hashlib.sha256(text.encode()).hexdigest())
    return Findings(
        id=f"m{elapsed}", origin=f"o{elapsed}", subject="W0123456789ABCD", format="hl7v2", kind="ORU^R01", time="2026-03-02T10:15:00.000Z",
        elapsed=elapsed, age_years=50, notes=(note,) if text else (), facts=facts,
    )  # fmt: skip


def item9(value: int) -> Fact:
    return Fact(
        id=f"phq{value}",
        kind="score",
        path="OBX[2]",
        value=Decimal(value),
        codes=(Coding(system="http://loinc.org", code="44260-8"),),
    )


def decided(decider: Decider, *messages: Findings) -> Decision:
    context = PatientContext()
    for one in messages:
        decision, context = decider.decide(one, context)
    return decision


@pytest.mark.parametrize(
    ("text", "facts", "holds", "rule", "disagrees"),
    [
        ("calm calm", (item9(2),), True, True, False),
        ("calm calm", (item9(0),), True, False, True),
        ("fever", (item9(2),), False, True, True),
        ("fever", (), False, False, False),
    ],
)
def test_an_opinion_beside_its_rule(
    tmp_path: Path, text: str, facts: tuple[Fact, ...], holds: bool, rule: bool, disagrees: bool
) -> None:
    """The model's answer stands beside the rule's outcome of the same message; a class without a rule is not compared."""
    decider = Decider(RULES, opinions=Opinions([classifier(tmp_path / "m")], RULES))
    decision = decided(decider, message(text, facts))
    one, other = decision.opinions
    assert (one.label, one.type, one.holds, one.rule, one.disagrees) == (
        "suicidal-ideation", "suicide.ideation", holds, rule, disagrees,
    )  # fmt: skip
    assert (other.type, other.rule, other.disagrees) == ("", None, False)
    assert all(flag.kind == "rule" for flag in decision.flags)
    decider.close()


def test_a_rule_that_does_not_apply_is_not_compared(tmp_path: Path) -> None:
    """Sepsis is not judged in a child: the model's opinion stands alone."""
    made = classifier(tmp_path / "m", labels=("suspected-sepsis", "other"))
    decider = Decider(RULES, opinions=Opinions([made], RULES))
    (one, _) = decided(decider, msgspec.structs.replace(message("calm"), age_years=9)).opinions
    assert (one.type, one.holds, one.rule) == ("sepsis.suspected", True, None)
    decider.close()


def test_without_a_note_there_is_no_opinion(tmp_path: Path) -> None:
    """Values alone are the rules' business."""
    decider = Decider(RULES, opinions=Opinions([classifier(tmp_path / "m")], RULES))
    assert decided(decider, message("", (item9(2),))).opinions == ()
    decider.close()


def test_values_come_in_the_models_unit_and_only_recent_ones(tmp_path: Path) -> None:
    """37 C as 98.6 F; a value of five hours ago is missing; the latest of two counts."""
    heat = NumberInput("8310-5", "Cel", 37.0, 1.0, 25.0, 44.0)
    made = classifier(tmp_path / "m", numbers=(heat,))
    decider = Decider(RULES, opinions=Opinions([made], RULES))

    def temperature(value: str, unit: str, at: int, name: str = "t") -> Fact:
        codes = (Coding(system="http://loinc.org", code="8310-5"),)
        return Fact(id=name, kind="vital", path="OBX[3]", value=Decimal(value), unit=unit, codes=codes, elapsed=at)

    def score(*facts: Fact) -> float:
        return decided(decider, message("word", facts)).opinions[0].score

    assert score(temperature("98.6", "[degF]", 590)) == 0.5
    assert score(temperature("39", "Cel", 590)) == pytest.approx(0.8808, abs=1e-4)
    assert score(temperature("39", "Cel", 300)) == 0.5
    assert score(temperature("39", "Cel", 500), temperature("37", "Cel", 590, "u")) == 0.5
    decider.close()


def test_agreement_is_counted_over_files(tmp_path: Path) -> None:
    """``rules agreement``: what rule and model make of the same texts, with Cohen's kappa."""
    bundle = tmp_path / "shelf" / "tiny-flags" / "1.0"
    trusted = write_bundle(
        bundle, {"model.onnx": classifier_graph(ROWS), "tokenizer.json": tokenizer()}, name="tiny-flags", version="1.0",
        inputs=("input_ids", "attention_mask"), multi_label=True, labels=LABELS, thresholds={"suicidal-ideation": 0.6},
    )  # fmt: skip
    texts = tmp_path / "texts"
    texts.mkdir()
    for name, text in {"a": "calm", "b": "pain", "c": "She wants to kill herself. fever"}.items():
        (texts / f"{name}.txt").write_text(text)
    base = Settings()
    entities = base.models.shelf
    for name in ("wardstream-entities", "wardstream-phi"):
        (tmp_path / "shelf" / name).symlink_to(entities / name)
    (trusted / "release.pub").write_bytes((base.models.trusted_keys / "release.pub").read_bytes())
    models = base.models.model_copy(update={"flags": "tiny-flags", "shelf": tmp_path / "shelf", "trusted_keys": trusted})
    (row,) = count(Offline(base.model_copy(update={"models": models})), texts)
    assert (row.type, row.both, row.model_only, row.neither) == ("suicide.ideation", 0, 1, 1)
    assert row.rule_only == 1


def test_kappa() -> None:
    """Against the textbook's formula; nothing where both always say the same one thing."""
    assert kappa(Agreement("t", both=20, rule_only=5, model_only=10, neither=15)) == pytest.approx(0.4)
    assert kappa(Agreement("t", neither=9)) is None
    assert kappa(Agreement("t")) is None
