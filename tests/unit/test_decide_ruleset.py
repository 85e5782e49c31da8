"""Rules and tables are checked when they are loaded; what is wrong is named by file and path."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from agents.decide.rule_schema import FILES, schema_text
from agents.decide.ruleset import HERE, RULES, TABLES, RuleSet
from agents.decide.step import make_decider
from agents.decide.trial import message, run
from schemas.errors import ConfigurationError
from streams.settings import Decide, Settings


def shipped(name: str) -> dict[str, Any]:
    return yaml.safe_load((RULES / name).read_text("utf-8"))  # type: ignore[no-any-return]


def written(folder: Path, rule: dict[str, Any]) -> Path:
    (folder / "rule.yaml").write_text(yaml.safe_dump(rule), "utf-8")
    return folder


def test_the_shipped_rules_load() -> None:
    """The shipped rules stand, in order of id, under a version of their own bytes."""
    rules = RuleSet.load()
    ids = [rule.form.id for rule in rules.rules]
    assert ids == sorted(ids)
    assert {
        "aki.kdigo",
        "drug.allergy",
        "drug.interaction",
        "labs.critical",
        "news2",
        "sepsis.suspected",
        "suicide.ideation",
    } <= set(ids)
    assert rules.version.startswith("rules-")
    assert RuleSet.load().version == rules.version


@pytest.mark.parametrize("name", FILES)
def test_schema_files_are_current(name: str) -> None:
    """The JSON Schemas beside the rules say what the loader accepts."""
    assert (HERE / name).read_text("utf-8") == schema_text(FILES[name])


@pytest.mark.parametrize("file", sorted(f.name for f in RULES.glob("*.yaml") if ".cases." not in f.name))
def test_shipped_rules_satisfy_their_schema(file: str) -> None:
    """An editor with the schema has nothing to say against a shipped rule."""
    jsonschema.validate(shipped(file), json.loads((RULES / "rule.schema.json").read_text("utf-8")))


@pytest.mark.parametrize(
    ("change", "path", "detail"),
    [
        ({"levels": []}, "rule.yaml", "$.levels"),
        ({"colour": "red"}, "rule.yaml", "colour"),
        ({"staleness_hours": -1}, "rule.yaml", "$.staleness_hours"),
        ({"id": "Not An Id"}, "rule.yaml", "$.id"),
        ({"index": {"each": "measure", "input": "sodium", "reach_hours": 1}}, "rule.yaml:$.index.input", "not a measure"),
        ({"index": {"each": "table", "table": "none"}}, "rule.yaml:$.index.table", "no such table"),
        ({"index": {"each": "statements", "inputs": []}}, "rule.yaml:$.index.inputs", "not statements"),
        (
            {"index": {"each": "measure", "input": "creatinine", "reach_hours": 1, "also": ["sodium"]}},
            "rule.yaml:$.index.also",
            "not measures",
        ),
        (
            {"index": {"each": "filtration", "charted": "creatinine", "creatinine": "creatinine", "hours": 24}},
            "rule.yaml:$.index.charted",
            "not a measure of filtration",
        ),
    ],
)
def test_wrong_rules_are_named(tmp_path: Path, change: dict[str, Any], path: str, detail: str) -> None:
    """A rule that says what the form does not know is refused with the place of the fault."""
    with pytest.raises(ConfigurationError) as caught:
        RuleSet.load(written(tmp_path, shipped("aki_kdigo.yaml") | change))
    assert caught.value.path == path
    assert detail in (caught.value.detail or "")


@pytest.mark.parametrize(
    ("when", "detail"),
    [
        ({"test": "limits"}, "cannot answer"),
        ({"test": "value"}, "exactly one bound"),
        ({"test": "value", "above": 1, "below": 2}, "exactly one bound"),
        ({"test": "any", "of": []}, "empty list"),
        ({"test": "ratio", "at_least": 2, "lowest_hours": 48, "median_hours": 48}, "lowest_hours"),
        ({"test": "all", "of": [{"test": "conflict", "table": "drugs", "match": "class"}]}, "cannot answer"),
    ],
)
def test_wrong_conditions_are_named(tmp_path: Path, when: dict[str, Any], detail: str) -> None:
    """A condition that its index cannot answer, or that says nothing, is refused."""
    rule = shipped("aki_kdigo.yaml")
    rule["levels"][1]["when"] = when
    with pytest.raises(ConfigurationError) as caught:
        RuleSet.load(written(tmp_path, rule))
    assert caught.value.path == "rule.yaml:$.levels[1].when"
    assert detail in (caught.value.detail or "")


def test_two_rules_with_one_id(tmp_path: Path) -> None:
    """Ids are unique among the rules of a site."""
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(yaml.safe_dump(shipped("aki_kdigo.yaml")), "utf-8")
    with pytest.raises(ConfigurationError):
        RuleSet.load(tmp_path)


def test_what_is_not_yaml(tmp_path: Path) -> None:
    """A broken file is named."""
    (tmp_path / "broken.yaml").write_text("a: [", "utf-8")
    with pytest.raises(ConfigurationError) as caught:
        RuleSet.load(tmp_path)
    assert caught.value.path == "broken.yaml"


def test_a_changed_table_changes_only_the_versions_that_depend_on_it(tmp_path: Path) -> None:
    """The digest of a rule covers its file and its tables, nothing else."""
    for file in TABLES.glob("*.yaml"):
        text = file.read_text("utf-8")
        (tmp_path / file.name).write_text(text.replace("high: 6.5", "high: 6.0"), "utf-8")
    before = {rule.form.id: rule.sha256 for rule in RuleSet.load().rules}
    after = {rule.form.id: rule.sha256 for rule in RuleSet.load(tables=tmp_path).rules}
    assert {name for name in before if before[name] != after[name]} == {"labs.critical"}


def site(folder: Path, rows: dict[str, Any]) -> Path:
    file = folder / "site.yaml"
    file.write_text(
        yaml.safe_dump({"api_version": "limits/v1", "version": "7", "source": "our laboratory", "rows": rows}), "utf-8"
    )
    return file


def test_the_site_table_replaces_rows_and_keeps_the_others(tmp_path: Path) -> None:
    """A site names only what it does differently."""
    row = {
        "analyte": "potassium",
        "display": "potassium",
        "codes": [{"system": "http://loinc.org", "code": "2823-3"}],
        "high": 6.0,
        "plausible": {"low": 0.5, "high": 15},
    }
    table = RuleSet.load(site_table=site(tmp_path, {"potassium": row})).limits["critical_limits"]
    assert (table.rows["potassium"].low, str(table.rows["potassium"].high)) == (None, "6.0")
    assert "sodium" in table.rows


@pytest.mark.parametrize(
    ("row", "path"),
    [
        ({"analyte": "unobtainium", "high": 1}, "critical_limits:$.rows.x.analyte"),
        ({"analyte": "potassium"}, "critical_limits:$.rows.x"),
        ({"analyte": "potassium", "low": 6, "high": 3}, "critical_limits:$.rows.x"),
        ({"analyte": "potassium", "high": 99}, "critical_limits:$.rows.x"),
    ],
)
def test_a_wrong_site_table_refuses_to_start(tmp_path: Path, row: dict[str, Any], path: str) -> None:
    """A site's limits are checked before the first message is."""
    whole = {"display": "x", "codes": [], "plausible": {"low": 0, "high": 15}, **row}
    with pytest.raises(ConfigurationError) as caught:
        make_decider(Settings(decide=Decide(site_table=site(tmp_path, {"x": whole}))))
    assert caught.value.path == path


def test_the_baseline_policy_of_the_site() -> None:
    """Every ratio to a baseline follows the site's policy, and the rule's digest says so; without one the file's own holds."""
    own = {rule.form.id: rule for rule in RuleSet.load().rules}
    changed = {rule.form.id: rule for rule in RuleSet.load(baseline="estimated").rules}
    assert {name for name in own if own[name].sha256 != changed[name].sha256} == {"aki.kdigo"}
    assert {rule.sha256 for rule in RuleSet.load(baseline="recent").rules} == {rule.sha256 for rule in own.values()}


@pytest.mark.parametrize(
    ("policy", "values", "level"),
    [
        (None, [("0h", "1.0"), ("240h", "1.4"), ("260h", "1.6")], None),  # 7 days hold 1.4 alone
        ("lowest", [("0h", "1.0"), ("240h", "1.4"), ("260h", "1.6")], "stage 1"),
        (None, [("0h", "2.4")], None),
        ("estimated", [("0h", "2.4")], "stage 2"),  # a woman of 60: 75 mL/min/1.73 m2 at 0.88 mg/dL
    ],
)
def test_what_each_baseline_policy_makes_of_a_series(policy: Any, values: list[tuple[str, str]], level: str | None) -> None:
    """The same creatinines, another baseline; an estimated one is named as missing a measured one."""
    defaults = {"code": "2160-0", "unit": "mg/dL", "age": 60, "sex": "F"}
    rows = [{"at": at, "values": [{"id": at, "value": value}]} for at, value in values]
    messages = [message(number, row, defaults) for number, row in enumerate(rows)]
    decision = run("aki.kdigo", messages, RuleSet.load(baseline=policy))
    assert [flag.basis.logic.rpartition("level: ")[2] for flag in decision.flags] == ([level] if level else [])
    if policy == "estimated":
        (flag,) = decision.flags
        assert "measured baseline" in flag.basis.missing
        assert flag.basis.computed["estimated baseline"].quantize(Decimal("0.1")) == Decimal("78.0")
