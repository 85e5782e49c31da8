"""``wardstream explain`` on the sample messages, with the shipped bundles."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from ops.commands.explain import command

SAMPLES = Path(__file__).parents[2] / "ops" / "samples"
CREATININE = [str(SAMPLES / "mllp" / name) for name in ("02-creatinine-baseline.hl7", "03-creatinine-rise.hl7")]


def run(*arguments: str) -> list[str]:
    result = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_a_rise_of_creatinine_is_told_with_what_would_clear_it() -> None:
    lines = run(*CREATININE, "--flag", "aki.kdigo")
    assert any("KDIGO 2012" in line for line in lines)
    assert any(line.strip().startswith("Would not fire if") and line.endswith("mg/dL") for line in lines)


def test_a_rule_that_raised_nothing_says_why() -> None:
    """One value has nothing to rise from."""
    assert any(line.strip().startswith("aki.kdigo: missing:baseline") for line in run(CREATININE[0], "--flag", "aki.kdigo"))


def test_the_word_itself_carries_the_entity(tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("Seen today in the clinic. The patient was started on metformin for diabetes.", "utf-8")
    (line,) = run(str(note), "--entity", "metformin", "--json")
    (entity,) = json.loads(line)["entities"]
    assert entity["sentence"] == "The patient was started on metformin for diabetes."
    assert entity["words"][0]["text"] == "metformin"
    assert entity["words"][0]["drop"] > entity["words"][1]["drop"]


def test_an_unknown_suffix_is_wrong_usage(tmp_path: Path) -> None:
    file = tmp_path / "note.pdf"
    file.write_bytes(b"%PDF")
    assert CliRunner().invoke(command, [str(file)]).exit_code == 2


def test_a_sentence_of_the_model_holds_the_evidence_and_nothing_else() -> None:
    """On request, by the shipped bundle, checked; the flag's own words stand beside it."""
    lines = run(*CREATININE, "--flag", "aki.kdigo", "--in-words")
    (sentence,) = [line for line in lines if "In words (wardstream-explain@" in line]
    assert "2.1 mg/dL" in sentence
    assert "1.0 mg/dL" in sentence
    assert any("KDIGO 2012" in line for line in lines)
