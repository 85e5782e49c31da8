"""Runs the tables of cases beside the rules (``*.cases.yaml``): the tests and ``wardstream rules test`` use it.

A case is messages in order of arrival and what the last decision must say; ``boundaries`` try each limit one step inside, at it and
one step outside; ``points`` try the values of a score's item. Every message goes through the whole decision step.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from agents.decide.context import PatientContext
from agents.decide.ruleset import RuleSet
from agents.decide.step import Decider
from schemas.clinical import Coding, Fact
from schemas.errors import ConfigurationError
from schemas.findings import Assertion, Findings, FindingsNote, Mention, Relation
from schemas.flags import Decision
from schemas.ids import derived_id, source_id

_LOINC = "http://loinc.org"
_UNITS = {"m": 1, "h": 60, "d": 1440}
_AXES = ("negated", "possible", "historical", "hypothetical", "family")


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """One row of a table: ``kind`` is ``cases``, ``boundaries`` or ``points``."""

    rule: str
    kind: str
    name: str
    defaults: dict[str, Any]
    row: dict[str, Any]


def trials(folder: Path) -> list[Trial]:
    """Every row of every table in ``folder``, in order of file. Raises ConfigurationError for a file that is no table."""
    found = []
    for file in sorted(folder.glob("*.cases.yaml")):
        try:
            table = yaml.safe_load(file.read_text("utf-8"))
            for kind in ("cases", "boundaries", "points"):
                for row in table.get(kind, ()):
                    name = row.get("name") or f"{row['code']} {row['unit']} {row.get('low', row.get('high', row.get('item')))}"
                    found.append(Trial(table["rule"], kind, name, table.get("defaults", {}), row))
        except (yaml.YAMLError, KeyError, AttributeError, TypeError):
            raise ConfigurationError(path=file.name, detail="not a table of cases") from None
    return found


def failures(trial: Trial, rules: RuleSet) -> list[str]:
    """What differs from the table, in words; empty when the row holds."""
    check = {"cases": _case, "boundaries": _boundary, "points": _points}[trial.kind]
    return check(trial, rules)


def _differs(what: str, wanted: object, got: object) -> list[str]:
    return [] if wanted == got else [f"{what}: expected {wanted!r}, got {got!r}"]


def _case(trial: Trial, rules: RuleSet) -> list[str]:
    messages = [message(number, row, trial.defaults) for number, row in enumerate(trial.row["messages"])]
    decision = run(trial.rule, messages, rules)
    expect = dict(trial.row["expect"])
    outcome = expect.pop("outcome")
    found = _differs("outcome", outcome, decision.evaluated[trial.rule])
    found += _differs(
        "flags", expect.pop("flags", 1 if outcome in ("raised", "withdrawn", "resolved") else 0), len(decision.flags)
    )
    found += [
        f"summary cannot be written: {flag.summary}" for flag in decision.flags if "?" in flag.summary or len(flag.summary) > 140
    ]
    if found or not decision.flags:
        return found + [f"{key}: expected, but there is no flag" for key in expect if not decision.flags]
    flag = decision.flags[0]
    texts = {one.notes[0].sha256: one.notes[0].text for one in messages if one.notes}
    computed = {key: str(value) for key, value in flag.basis.computed.items()}
    shown = {
        "severity": flag.severity,
        "summary": flag.summary,
        "supersedes": bool(flag.supersedes),
        "withdrawn": flag.withdrawn,
        "resolved": flag.resolved,
        "inputs": [row.ref for row in flag.basis.inputs],
        "computed": {key: computed.get(key) for key in expect.get("computed", ())},
        "level": flag.basis.logic.rpartition("level: ")[2],
        "spans": [texts[span.sha256][span.start : span.end] for span in flag.basis.text_spans],
    }
    expect.setdefault("withdrawn", False)
    expect.setdefault("resolved", False)
    return [line for key, wanted in expect.items() for line in _differs(key, wanted, shown.get(key))]


def _boundary(trial: Trial, rules: RuleSet) -> list[str]:
    row = trial.row
    limit, step = Decimal(str(row.get("low", row.get("high")))), Decimal(str(row["step"]))
    outward = -step if "low" in row else step
    outcomes = []
    for value in (limit - outward, limit, limit + outward):
        fact = {"id": "a", "code": row["code"], "unit": row["unit"], "value": value}
        one = message(0, {"at": "0h", "values": [fact]}, trial.defaults)
        outcomes.append(run(trial.rule, [one], rules).evaluated[trial.rule])
    return _differs("inside, at, outside", ["clear", "raised" if row.get("inclusive") else "clear", "raised"], outcomes)


def _points(trial: Trial, rules: RuleSet) -> list[str]:
    row = trial.row
    shown: dict[object, object] = {}
    for value in row["values"]:
        fact = {"id": "x", "code": row["code"], "unit": row["unit"], "value": value}
        one = {"at": "0h", "values": [fact, *row["beside"]], "problems": row.get("problems", [])}
        flags = run(trial.rule, [message(0, one, trial.defaults)], rules).flags
        points = flags[0].basis.computed.get(row["item"]) if flags else None
        shown[value] = None if points is None else int(points)
    return _differs("points", row["values"], shown)


def minutes(text: str) -> int:
    """``90m``, ``48h``, ``7d`` as minutes; raises ConfigurationError for anything else."""
    match = re.fullmatch(r"(\d+)([mhd])", text)
    if match is None:
        raise ConfigurationError(path="at", detail="not a time of a case (90m, 48h, 7d)")
    return int(match[1]) * _UNITS[match[2]]


def _value_fact(row: dict[str, Any], defaults: dict[str, Any], at: int) -> Fact:
    value = row.get("value")
    answer = row.get("answer")
    return Fact(
        id=row["id"],
        kind=row.get("kind", defaults.get("kind", "lab")),
        path="OBX[1]",
        codes=(Coding(system=_LOINC, code=row.get("code") or defaults["code"]),),
        value=None if value is None else Decimal(str(value)),
        comparator=row.get("comparator", ""),
        unit=row.get("unit", defaults.get("unit", "")),
        text=row.get("text", ""),
        value_codes=(Coding(system=_LOINC, code=answer),) if answer else (),
        interpretation=tuple(row.get("marks", ())),
        elapsed=minutes(row["at"]) if "at" in row else at,
        version=row.get("version", 1),
        retracted=row.get("retracted", False),
    )


def _stated_fact(kind: Any, row: dict[str, Any], at: int) -> Fact:
    coding = Coding(system=row.get("system", ""), code=row.get("code", ""), display=row.get("display", ""))
    return Fact(
        id=row["id"],
        kind=kind,
        path="X[1]",
        codes=(coding,) if coding != Coding() else (),
        text=row["text"],
        status=row.get("status", ""),
        order=row.get("order", ""),
        daily=Decimal(str(row["daily"])) if "daily" in row else None,
        unit=row.get("unit", ""),
        elapsed=minutes(row["at"]) if "at" in row else at,
        version=row.get("version", 1),
        retracted=row.get("retracted", False),
    )


def message(number: int, row: dict[str, Any], defaults: dict[str, Any]) -> Findings:
    """The ``number``-th message of a case."""
    at = minutes(row["at"])
    facts = [_value_fact(value, defaults, at) for value in row.get("values", ())]
    for kind, key in (("allergy", "allergies"), ("medication", "medications"), ("problem", "problems")):
        facts += [_stated_fact(kind, stated, at) for stated in row.get(key, ())]
    rest = _note(row) if "note" in row else {}
    origin = source_id("case", str(number))
    return Findings(
        id=derived_id(origin, "extract"),
        origin=origin,
        subject="W0123456789ABCD",
        format="hl7v2",
        kind="ORU^R01",
        time="2026-03-02T10:15:00.000Z",
        elapsed=at,
        age_years=row.get("age", defaults.get("age", 61)),
        sex=row.get("sex", defaults.get("sex", "")),
        facts=tuple(facts),
        **rest,
    )


def _note(row: dict[str, Any]) -> dict[str, Any]:
    text = row["note"]
    mentions = []
    for number, m in enumerate(row.get("mentions", ())):
        start = text.index(m["words"])
        mentions.append(
            Mention(
                id=derived_id(text, "case", ordinal=str(number)),
                note="OBX[1]-5",
                start=start,
                end=start + len(m["words"]),
                text=m["words"],
                type=m["type"],
                score=1.0,
                source="case",
                assertion=Assertion(**{axis: m.get(axis, False) for axis in _AXES}),
                section=row.get("section", ""),
                codes=(Coding(code=m["code"], system=m.get("system", "")),) if "code" in m else (),
            )
        )
    named = {one.text: one for one in mentions}
    relations = tuple(
        Relation(id=f"{one.id}r", type=f"medication-{one.type}", head=named[m["of"]].id, tail=one.id, score=1.0, source="case")
        for one, m in zip(mentions, row.get("mentions", ()), strict=True)
        if "of" in m
    )
    document = FindingsNote(path="OBX[1]-5", text=text, sha256=hashlib.sha256(text.encode()).hexdigest())
    return {"notes": (document,), "mentions": tuple(mentions), "relations": relations}


def run(rule: str, messages: list[Findings], rules: RuleSet) -> Decision:
    """The decision on the last message, by one rule alone. Raises ConfigurationError when there is no such rule."""
    only = tuple(loaded for loaded in rules.rules if loaded.form.id == rule)
    if not only:
        raise ConfigurationError(path=rule, detail="no such rule")
    step, context = Decider(dataclasses.replace(rules, rules=only)), PatientContext()
    for one in messages:
        decision, context = step.decide(one, context)
    return decision
