"""Assertion by the readable cases of ``tests/cases/assertion`` and by the rules of scopes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from agents.extract import lexicon as lexicon_module
from agents.extract.assertion import Target, assert_all
from agents.extract.lexicon import lexicon, load
from agents.extract.sections import layout
from schemas.errors import ConfigurationError
from schemas.findings import Assertion

CASES = Path(__file__).parent.parent / "cases" / "assertion"
_AXES = ("negated", "possible", "historical", "hypothetical", "family")


def _cases() -> list[object]:
    return [
        pytest.param(case["text"], case["expect"], id=f"{path.stem}-{number}")
        for path in sorted(CASES.glob("*.yaml"))
        for number, case in enumerate(yaml.safe_load(path.read_text("utf-8")), 1)
    ]


def read_case(marked: str) -> tuple[str, list[Target]]:
    """The text without its braces, and the spans that they marked."""
    text, targets = "", []
    for piece in re.split(r"(\{[^}]*\})", marked):
        if piece.startswith("{"):
            targets.append(Target(len(text), len(text) + len(piece) - 2))
            piece = piece[1:-1]
        text += piece
    return text, targets


def judge(text: str, targets: list[Target]) -> list[Assertion]:
    sections, sentences = layout(text)
    return assert_all(text, targets, sentences, sections)


def names(assertion: Assertion) -> str:
    return " + ".join(sorted(axis for axis in _AXES if getattr(assertion, axis))) or "present"


@pytest.mark.parametrize(("marked", "expect"), _cases())
def test_case(marked: str, expect: str | list[str]) -> None:
    """Each marked span gets exactly the axes that the case names."""
    text, targets = read_case(marked)
    wanted = [expect] * len(targets) if isinstance(expect, str) else expect
    assert [names(a) for a in judge(text, targets)] == [" + ".join(sorted(w.split(" + "))) for w in wanted]


def test_there_are_at_least_150_cases() -> None:
    """The case files are found and hold a working set."""
    assert len(_cases()) >= 150


def test_section_defaults_follow_the_mention_type() -> None:
    """A medication named under past medical history is not made historical by its place."""
    text = "PAST MEDICAL HISTORY: asthma, albuterol"
    asthma, albuterol = judge(text, [Target(22, 28, "problem"), Target(30, 39, "medication")])
    assert (asthma.historical, albuterol.historical) == (True, False)


def test_order_of_targets_does_not_matter() -> None:
    """Targets come back in the order given, each with its own answer."""
    text, targets = read_case("No {fever} but {cough}. Mother had {stroke}.")
    assert judge(text, targets[::-1]) == judge(text, targets)[::-1]


def test_version_changes_with_the_file(tmp_path: Path) -> None:
    """The lexicon's version holds the digest of its bytes."""
    source = Path(lexicon_module.__file__).with_name("assertion.toml").read_bytes()
    (tmp_path / "same.toml").write_bytes(source)
    (tmp_path / "other.toml").write_bytes(source + b"\n# one more line\n")
    assert load(tmp_path / "same.toml").version == lexicon().version != load(tmp_path / "other.toml").version


@pytest.mark.parametrize("text", ["", "version = '1'", "[[rule]]\naxis = 'sideways'\ndirection = 'up'\nphrases = []", "\x00"])
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    """Start-up refuses a lexicon that it does not understand, naming the file."""
    (tmp_path / "broken.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"broken\.toml"):
        load(tmp_path / "broken.toml")
