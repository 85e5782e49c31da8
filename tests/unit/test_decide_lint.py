"""``wardstream rules``: the linter names what is wrong with a rule that loads; the tables run; a rule is shown in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from agents.decide.lint import complaints
from agents.decide.ruleset import RULES, RuleSet
from agents.decide.trial import trials
from ops.commands.rules import command
from streams.settings import Decide, Settings


def lint(folder: Path, change: dict[str, Any], *, cases: bool = True) -> list[tuple[str, str]]:
    """Code and detail of each complaint about the shipped fall rule with ``change``."""
    document = {**yaml.safe_load((RULES / "fall_risk.yaml").read_text("utf-8")), **change}
    (folder / "fall_risk.yaml").write_text(yaml.safe_dump(document), "utf-8")
    if cases:
        (folder / "fall_risk.cases.yaml").write_bytes((RULES / "fall_risk.cases.yaml").read_bytes())
    result = CliRunner().invoke(command, ["lint", "--json", str(folder / "fall_risk.yaml")])
    found = json.loads(result.output)
    assert result.exit_code == (1 if found else 0)
    return [(one["code"], one["detail"]) for one in found]


def morse(bound: int, *, name: str = "high score", severity: str = "warning") -> dict[str, Any]:
    when = {"test": "present", "input": "morse", "at_least": bound}
    return {"name": name, "severity": severity, "summary": "x", "when": when}


FALL = {"name": "stated fall", "severity": "info", "summary": "x", "when": {"test": "present", "input": "fall"}}


def test_shipped_rules_have_no_complaints_of_their_own() -> None:
    """Every rule of this release passes its own linter."""
    rules, table = RuleSet.load(), trials(RULES)
    for rule in rules.rules:
        assert complaints(rule.form, rules, [trial for trial in table if trial.rule == rule.form.id]) == []


def test_an_unchanged_rule_beside_its_table_passes(tmp_path: Path) -> None:
    """A file anywhere, with its table beside it."""
    assert lint(tmp_path, {}) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"citation": {"logic": " ", "url": "https://x.test"}}, "citation"),
        ({"levels": [morse(45, severity="info"), FALL | {"severity": "critical"}]}, "level-order"),
        ({"levels": [morse(45), morse(50, name="higher"), FALL]}, "unreachable"),
        ({"levels": [morse(46), FALL, morse(44, name="other", severity="info")]}, "level-untested"),
        ({"levels": [morse(50), FALL]}, "boundary"),
    ],
)
def test_each_complaint(tmp_path: Path, change: dict[str, Any], code: str) -> None:
    """Each fault has its code."""
    assert code in {found for found, _ in lint(tmp_path, change)}


def test_unknown_analyte_is_a_fault_of_form(tmp_path: Path) -> None:
    """What the loader refuses is named with its place."""
    document = yaml.safe_load((RULES / "fall_risk.yaml").read_text("utf-8"))
    document["inputs"]["morse"]["analyte"] = "vibes"
    [(code, detail)] = lint(tmp_path, {"inputs": document["inputs"]})
    assert code == "form"
    assert "inputs.morse.analyte" in detail


def test_a_rule_without_a_table(tmp_path: Path) -> None:
    """No cases beside it is a complaint."""
    assert [code for code, _ in lint(tmp_path, {}, cases=False)] == ["no-cases"]


def test_test_runs_the_tables_and_show_says_the_thresholds() -> None:
    """``rules test --rule`` counts rows; ``rules show`` names source and levels; an unknown rule is refused."""
    runner = CliRunner()
    ran = runner.invoke(command, ["test", "--rule", "qsofa"])
    assert (ran.exit_code, ran.output.splitlines()[-1]) == (0, "12 rows, 0 failed")
    shown = runner.invoke(command, ["show", "news2"]).output
    assert "Royal College of Physicians 2017" in shown
    assert "emergency (critical): total at least 7" in shown
    assert runner.invoke(command, ["test", "--rule", "nothing"]).exit_code != 0


def test_site_rules_replace_by_id_and_add(tmp_path: Path) -> None:
    """A site's file of a shipped id takes its place, with a version of its own; another id is added."""
    document = yaml.safe_load((RULES / "fall_risk.yaml").read_text("utf-8"))
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(document | {"title": "Ours"}), "utf-8")
    (tmp_path / "b.yaml").write_text(yaml.safe_dump(document | {"id": "fall.local"}), "utf-8")
    shipped, rules = RuleSet.load(), RuleSet.load(site_rules=Settings(decide=Decide(rules_folder=tmp_path)).decide.rules_folder)
    titles = {rule.form.id: rule.form.title for rule in rules.rules}
    assert titles["fall.risk"] == "Ours"
    assert set(titles) == {rule.form.id for rule in shipped.rules} | {"fall.local"}
    assert rules.version != shipped.version
