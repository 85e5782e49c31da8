"""Model cards say what the rule asks for and what the manifest holds."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from models.bundle import DataSource, Manifest, NumberInput
from training.card import CARDS, attributes_of, card

BUNDLES = ("entities", "phi", "flags", "messages", "vitals", "explain", "long", "names")
NAMES = tuple(f"wardstream-{name}" for name in BUNDLES)


def manifest(name: str, **fields: object) -> Manifest:
    attributes = {key: text for group in attributes_of(name).values() for key, text in group.items()}
    given = Manifest(
        format=2, name=name, version="1.2.3", family="bert", task="text-classification", labels=("a", "b"), entity_types=(), window_tokens=128,
        window_overlap=24, lower_case=True, thresholds={"a": 0.4}, inputs=(), outputs=(), files={}, data=(), tools={"torch": "2.15.0"}, scores={},
        seed=7, attributes=attributes,
    )  # fmt: skip
    return msgspec.structs.replace(given, **fields)


@pytest.mark.parametrize("name", NAMES)
def test_every_bundle_states_every_attribute_in_its_card(name: str) -> None:
    """31 in nine groups, none empty, none left to be set, no placeholder."""
    text = card(manifest(name), name)
    groups = attributes_of(name)
    assert [len(group) for group in groups.values()] == [4, 4, 2, 4, 2, 4, 5, 4, 2]
    for title, group in groups.items():
        assert f"### {title}" in text
        for key, statement in group.items():
            assert f"| {key.replace('_', ' ')} | {statement} |" in text
            assert statement.strip()
            assert "Set by the bundle" not in statement
            assert "{" not in statement


@pytest.mark.parametrize("name", NAMES)
def test_every_bundle_has_a_use_limits_and_golden_texts(name: str) -> None:
    """Golden texts of the generator are sources of its development set; all others are written down."""
    texts = tomllib.loads((CARDS / f"{name}.toml").read_text())
    assert texts["use"]
    assert texts["limits"]
    assert bool(texts["golden"]) == (name != "wardstream-explain")


def test_there_is_a_file_for_each_bundle_and_no_other() -> None:
    """Eight bundles, and what holds for all."""
    assert {p.stem for p in Path(CARDS).glob("*.toml")} == {*NAMES, "attributes"}


def test_an_attribute_that_does_not_exist_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip in a name would otherwise leave the general statement standing."""
    for path in CARDS.glob("*.toml"):
        (tmp_path / path.name).write_text(path.read_text())
    with (tmp_path / "wardstream-phi.toml").open("a") as file:
        file.write('intended_usage = "slip"\n')
    monkeypatch.setattr("training.card.CARDS", tmp_path)
    with pytest.raises(KeyError, match="intended_usage"):
        attributes_of("wardstream-phi")


def test_the_card_shows_what_the_manifest_holds() -> None:
    """Scores by class, by subgroup and of speed in their sections; gate, data, values; energy as given, else said to be not measured."""
    given = manifest(
        "wardstream-phi",
        scores={
            "own-NAME": {"precision": 0.91, "recall": 0.92, "f1": 0.915, "support": 100.0},
            "own-problem|finding": {"precision": 0.5, "recall": 0.6, "f1": 0.55, "support": 10.0},
            "asq-phi-first-half": {"recall_covered": 0.987},
            "subgroup-names-akan": {"recall_covered": 0.876, "names": 50.0},
            "speed": {"notes_of_600_pieces_per_second": 29.0},
        },
        gate={"passed": "yes"},
        data=(DataSource("Some notes", "c" * 64, "CC BY 4.0", "Somebody 2020"),),
        numbers=(NumberInput("8867-4", "/min", 90.0, 25.0, 20.0, 300.0),),
    )
    sections = dict(part.split("\n", 1) for part in card(given, "wardstream-phi").split("\n## ")[1:])
    scores = next(body for heading, body in sections.items() if heading.startswith("Scores (int8"))
    assert "| own-NAME | 0.91 | 0.92 | 0.915 | 100 |" in scores
    assert "| own-problem\\|finding | 0.5 | 0.6 | 0.55 | 10 |" in scores
    assert "subgroup" not in scores
    assert "evaluation alone" in scores
    assert "| subgroup-names-akan | 0.876 | 50 |" in sections["Scores by subgroup"]
    assert "notes of 600 pieces per second 29" in sections["Speed and energy"]
    assert "Energy: not measured on this machine" in sections["Speed and energy"]
    assert "- passed: yes" in sections["Gate"]
    assert "| Some notes | CC BY 4.0 | Somebody 2020 | `cccccccccccccccc` |" in sections["Data"]
    assert "8867-4 (/min, 20 to 300)" in sections["Model"]
    measured = card(manifest("wardstream-phi", scores={"energy": {"joules_a_note": 0.4}}), "wardstream-phi")
    assert "Energy: joules a note 0.4." in measured
    assert "Not measured for this bundle" in measured
