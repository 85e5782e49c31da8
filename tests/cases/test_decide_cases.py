"""The tables of cases that stand beside the rules, each message through the whole decision step."""

from __future__ import annotations

import dataclasses
import re
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import yaml

from agents.decide.context import PatientContext
from agents.decide.ruleset import RULES, RuleSet
from agents.decide.step import Decider
from schemas.clinical import Coding, Fact
from schemas.findings import Assertion, Findings
from schemas.flags import Decision
from tests.support.decide import LOINC, findings, note

_UNITS = {"m": 1, "h": 60, "d": 1440}
_AXES = ("negated", "possible", "historical", "hypothetical", "family")
ALL = RuleSet.load()


def minutes(text: str) -> int:
    match = re.fullmatch(r"(\d+)([mhd])", text)
    assert match, text
    return int(match[1]) * _UNITS[match[2]]


def load(kind: str) -> list[Any]:
    rows = []
    for file in sorted(RULES.glob("*.cases.yaml")):
        table = yaml.safe_load(file.read_text("utf-8"))
        for row in table.get(kind, ()):
            name = row.get("name") or f"{row['code']} {row['unit']} {row.get('low', row.get('high', row.get('item')))}"
            rows.append(pytest.param(table["rule"], table.get("defaults", {}), row, id=f"{table['rule']}: {name}"))
    return rows


def decider(rule: str) -> Decider:
    """The step with one rule, so that a table speaks of nothing else."""
    only = tuple(loaded for loaded in ALL.rules if loaded.form.id == rule)
    assert only, rule
    return Decider(dataclasses.replace(ALL, rules=only))


def value_fact(row: dict[str, Any], defaults: dict[str, Any], at: int) -> Fact:
    value = row.get("value")
    answer = row.get("answer")
    return Fact(
        id=row["id"],
        kind=row.get("kind", defaults.get("kind", "lab")),
        path="OBX[1]",
        codes=(Coding(system=LOINC, code=row.get("code", defaults.get("code"))),),
        value=None if value is None else Decimal(str(value)),
        comparator=row.get("comparator", ""),
        unit=row.get("unit", defaults.get("unit", "")),
        text=row.get("text", ""),
        value_codes=(Coding(system=LOINC, code=answer),) if answer else (),
        interpretation=tuple(row.get("marks", ())),
        elapsed=minutes(row["at"]) if "at" in row else at,
        version=row.get("version", 1),
        retracted=row.get("retracted", False),
    )


def stated_fact(kind: Any, row: dict[str, Any], at: int) -> Fact:
    coding = Coding(system=row.get("system", ""), code=row.get("code", ""), display=row.get("display", ""))
    return Fact(
        id=row["id"],
        kind=kind,
        path="X[1]",
        codes=(coding,) if coding != Coding() else (),
        text=row["text"],
        status=row.get("status", ""),
        elapsed=minutes(row["at"]) if "at" in row else at,
        version=row.get("version", 1),
        retracted=row.get("retracted", False),
    )


def message(number: int, row: dict[str, Any], defaults: dict[str, Any]) -> Findings:
    at = minutes(row["at"])
    facts = [value_fact(value, defaults, at) for value in row.get("values", ())]
    for kind, key in (("allergy", "allergies"), ("medication", "medications"), ("problem", "problems")):
        facts += [stated_fact(kind, stated, at) for stated in row.get(key, ())]
    rest: dict[str, Any] = {}
    if "note" in row:
        marks = [(m["words"], m["type"], Assertion(**{axis: m.get(axis, False) for axis in _AXES})) for m in row["mentions"]]
        rest = note(row["note"], *marks, section=row.get("section", ""))
        rest["mentions"] = tuple(
            msgspec.structs.replace(mention, codes=(Coding(code=m["code"]),) if "code" in m else ())
            for mention, m in zip(rest["mentions"], row["mentions"], strict=True)
        )
    return findings(number, at, *facts, age_years=row.get("age", defaults.get("age")), sex=defaults.get("sex", ""), **rest)


def run(rule: str, messages: list[Findings]) -> Decision:
    step, context = decider(rule), PatientContext()
    for one in messages:
        decision, context = step.decide(one, context)
    return decision


@pytest.mark.parametrize(("rule", "defaults", "case"), load("cases"))
def test_case(rule: str, defaults: dict[str, Any], case: dict[str, Any]) -> None:
    """The last message's decision is what the table says."""
    messages = [message(number, row, defaults) for number, row in enumerate(case["messages"])]
    decision = run(rule, messages)
    expect = dict(case["expect"])
    outcome = expect.pop("outcome")
    assert decision.evaluated == {rule: outcome}
    assert len(decision.flags) == expect.pop("flags", 1 if outcome in ("raised", "withdrawn") else 0)
    for flag in decision.flags:
        assert len(flag.summary) <= 140
        assert "?" not in flag.summary
    if not decision.flags:
        assert not expect
        return
    flag = decision.flags[0]
    texts = {one.notes[0].sha256: one.notes[0].text for one in messages if one.notes}
    shown = {
        "severity": flag.severity,
        "summary": flag.summary,
        "supersedes": bool(flag.supersedes),
        "withdrawn": flag.withdrawn,
        "inputs": [row.ref for row in flag.basis.inputs],
        "computed": {key: str(value) for key, value in flag.basis.computed.items()},
        "level": flag.basis.logic.rpartition("level: ")[2],
        "spans": [texts[span.sha256][span.start : span.end] for span in flag.basis.text_spans],
    }
    expect.setdefault("withdrawn", False)
    if "computed" in expect:
        shown["computed"] = {key: shown["computed"].get(key) for key in expect["computed"]}  # type: ignore[attr-defined]
    assert {key: shown[key] for key in expect} == expect


@pytest.mark.parametrize(("rule", "defaults", "row"), load("boundaries"))
def test_boundary(rule: str, defaults: dict[str, Any], row: dict[str, Any]) -> None:
    """One step inside, at the limit and one step outside give what the limit's wording says."""
    limit, step = Decimal(str(row.get("low", row.get("high")))), Decimal(str(row["step"]))
    outward = -step if "low" in row else step
    outcomes = []
    for value in (limit - outward, limit, limit + outward):
        fact = {"id": "a", "code": row["code"], "unit": row["unit"], "value": value}
        outcomes.append(run(rule, [message(0, {"at": "0h", "values": [fact]}, defaults)]).evaluated[rule])
    assert outcomes == ["clear", "raised" if row.get("inclusive") else "clear", "raised"]


@pytest.mark.parametrize(("rule", "defaults", "row"), load("points"))
def test_points(rule: str, defaults: dict[str, Any], row: dict[str, Any]) -> None:
    """Each value of a score's item has the points of the published table."""
    shown = {}
    for value in row["values"]:
        fact = {"id": "x", "code": row["code"], "unit": row["unit"], "value": value}
        one = {"at": "0h", "values": [fact, *row["beside"]], "problems": row.get("problems", [])}
        [flag] = run(rule, [message(0, one, defaults)]).flags
        shown[value] = int(flag.basis.computed[row["item"]])
    assert shown == row["values"]


def test_every_rule_has_cases() -> None:
    """A rule without a table of cases beside it cannot be merged."""
    tables = {yaml.safe_load(file.read_text("utf-8"))["rule"] for file in RULES.glob("*.cases.yaml")}
    assert tables == {loaded.form.id for loaded in ALL.rules}
