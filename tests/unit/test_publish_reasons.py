"""What a generated reason may draw on: the evidence of each kind of flag that the model was taught, and nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agents.decide.ruleset import RuleSet
from agents.decide.trial import message, run
from agents.publish.reasons import evidence_of
from models.reasons import KINDS, accepted, delexicalise
from schemas.flags import Flag

RULES = RuleSet.load()


def raised(rule: str, *rows: dict[str, Any], **defaults: Any) -> tuple[Flag, Any]:
    """The flag that the last message raises, and the message's notes."""
    messages = [message(number, row, {"age": 61, "sex": "F"} | defaults) for number, row in enumerate(rows)]
    (flag,) = run(rule, messages, RULES).flags
    return flag, messages[-1].notes


def lab(at: str, code: str, value: str, unit: str) -> dict[str, Any]:
    return {"at": at, "values": [{"id": at, "code": code, "value": value, "unit": unit}]}


VITALS = [
    ("9279-1", "26", "/min"), ("59408-5", "97", "%"), ("3151-8", "0", "L/min"), ("8480-6", "88", "mm[Hg]"), ("8867-4", "70", "/min"),
    ("9269-2", "15", "{score}"), ("8310-5", "37.0", "Cel"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "rows", "kind", "values"),
    [
        ("labs.critical", [lab("0h", "2823-3", "7.1", "mmol/L")], "lab-high", {"test": "potassium", "value": "7.1 mmol/L", "limit": "6.5"}),
        ("labs.critical", [lab("0h", "2823-3", "2.1", "mmol/L")], "lab-low", {"test": "potassium", "value": "2.1 mmol/L", "limit": "2.5"}),
        (
            "aki.kdigo",
            [lab("0h", "2160-0", "1.0", "mg/dL"), lab("24h", "2160-0", "2.1", "mg/dL")],
            "kidney-injury",
            {"value": "2.1 mg/dL", "baseline": "1.0 mg/dL", "hours": "24 hours", "stage": "2"},
        ),
        (
            "drug.allergy",
            [{"at": "0h", "allergies": [{"id": "a", "text": "Penicillin"}], "medications": [{"id": "m", "text": "Amoxil"}]}],
            "drug-allergy",
            {"drug": "amoxicillin", "allergen": "penicillins"},
        ),
        (
            "drug.interaction",
            [{"at": "0h", "medications": [{"id": "m", "text": "warfarin"}, {"id": "n", "text": "ibuprofen"}]}],
            "drug-pair",
            {"first": "warfarin", "second": "ibuprofen", "effect": "bleeding"},
        ),
        (
            "news2",
            [{"at": "0h", "values": [{"id": c, "code": c, "value": v, "unit": u, "kind": "vital"} for c, v, u in VITALS]}],
            "early-warning",
            {"score": "6", "limit": "5", "parts": "respiration (3) and systolic (3)"},
        ),
        (
            "suicide.ideation",
            [{"at": "0h", "note": "He wants to die.", "mentions": [{"words": "wants to die", "type": "problem"}]}],
            "note-statement",
            {"topic": "suicidal thoughts", "quote": "wants to die"},
        ),
    ],
)  # fmt: skip
def test_evidence(rule: str, rows: list[dict[str, Any]], kind: str, values: dict[str, str]) -> None:
    """Each slot of the kind is filled by the flag's own inputs, thresholds and words; every slot of the model's language is there."""
    flag, notes = raised(rule, *rows)
    evidence = evidence_of(flag, notes)
    assert evidence is not None
    assert (evidence.kind, dict(evidence.values)) == (kind, values)
    assert list(values) == KINDS[kind]["slots"]
    assert accepted(" ".join(f"[{k + 1}]." for k in range(len(values))), evidence) is not None
    assert not any(value in delexicalise(evidence)[0] for value in values.values() if len(value) > 2)


def test_no_evidence_without_everything() -> None:
    """A kind that the model was not taught, a median as baseline, a span of another note, a flag that ended: the template alone."""
    flag, notes = raised(
        "suicide.ideation", {"at": "0h", "note": "wants to die", "mentions": [{"words": "wants to die", "type": "problem"}]}
    )
    assert evidence_of(flag, ()) is None
    assert evidence_of(msgspec.structs.replace(flag, type="egfr.drop"), notes) is None
    assert evidence_of(msgspec.structs.replace(flag, withdrawn=True), notes) is None
    kidney, _ = raised(
        "aki.kdigo",
        lab("0h", "2160-0", "1.0", "mg/dL"),
        lab("24h", "2160-0", "1.1", "mg/dL"),
        lab("500h", "2160-0", "2.1", "mg/dL"),
    )
    assert evidence_of(kidney, ()) is None
