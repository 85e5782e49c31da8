"""The published JSON Schemas are those of the record types, and what the types write passes them."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from schemas import jsonschema as package
from schemas.audit import AuditEntry
from schemas.cards import CardFeedback
from schemas.clinical import Coding, Coverage, Fact
from schemas.deidentified import DeidMap, SpanMap
from schemas.drifts import Drift
from schemas.erasure import Erasure
from schemas.findings import Assertion, Findings, FindingsNote, Mention, Offsets, Relation, Versions
from schemas.flags import Basis, Decision, Flag, Input, Rule, TextSpan
from schemas.handled import Handled
from schemas.jsonschema.generate import RECORDS, render
from schemas.labels import ReviewedLabel, ReviewedSpan
from schemas.merges import Merge
from schemas.releases import BundleRef, Canary, ModelRelease
from schemas.runs import TrainingRun
from schemas.samples import Sample
from schemas.verdicts import GateVerdict, Judged

FOLDER = Path(next(iter(package.__path__)))

NOTE = FindingsNote(path="OBX[1]-5", text="Cough.", sha256="0" * 64, codes=(Coding(code="1"),))
MENTION = Mention(
    id="m", note="OBX[1]-5", start=0, end=5, text="Cough", type="finding", score=0.9, source="model", assertion=Assertion(negated=True),
    codes=(Coding(code="R05"),), original=Offsets(0, 5),
)  # fmt: skip
FINDINGS = Findings(
    id="f", origin="o", subject="s", format="fhir", kind="Observation", time="2024-01-02T03:04:05Z", elapsed=3, age_years=70,
    notes=(NOTE,), mentions=(MENTION,), relations=(Relation(id="r", type="dose", head="m", tail="m", score=1.0, source="rule"),),
    facts=(Fact(id="k", kind="lab", path="Observation.valueQuantity", value=Decimal("6.70"), comparator=">", elapsed=1),),
    coverage=Coverage(used={"a": 1}), versions=Versions(policy="p"),
)  # fmt: skip
FLAG = Flag(
    id="g", type="lab.critical", kind="rule", severity="critical", subject="s", summary="High potassium", score=0.5,
    basis=Basis(
        logic="l", citation="c", inputs=(Input(ref="k", code="2823-3", value=Decimal("6.70")),), thresholds={"high": Decimal("6.5")},
        text_spans=(TextSpan(note="n", sha256="0" * 64, start=0, end=5),),
    ),
    rule=Rule(id="r", version="1", sha256="0" * 64),
)  # fmt: skip
EXAMPLES: dict[str, Any] = {
    "findings.v1": FINDINGS,
    "decision.v1": Decision(id="d", findings=FINDINGS, flags=(FLAG,), evaluated={"r": "raised"}),
    "sample.v1": Sample(id="x", origin="o", subject="s", reason="uncertain", score=0.4, note=NOTE, mentions=(MENTION,)),
    "label.v1": ReviewedLabel(
        id="l",
        sample="x",
        subject="s",
        note=NOTE,
        reviewer="p",
        guideline="1",
        decided="2024",
        annotated=("problem",),
        spans=(ReviewedSpan(start=0, end=1, type="problem"),),
        flags={"lab.critical": "right"},
    ),
    "erasure.v1": Erasure(id="a", time="2024", subject="t"),
    "merge.v1": Merge(id="a", time="2024", survivor="s", retired="t", delta_minutes=-5),
    "handled.v1": Handled(id="a", topic="t.dlq", partition=1, offset=2, action="redriven", time="2024", agent="jane", act="b"),
    "card-feedback.v1": CardFeedback(id="a", card="b", service="s", outcome="accepted", time="2024", issuer="https://ehr"),
    "audit.v1": AuditEntry(id="a", action="deliver", outcome="success", time="2024", agent="publish", purpose="TREAT"),
    "release.v1": ModelRelease(
        id="a",
        name="m",
        action="canary",
        champion=BundleRef("1", "0" * 64),
        canary=Canary(bundle=BundleRef("2", "1" * 64), share=0.1),
        time="2024",
        agent="jane",
        verdict="2" * 64,
    ),
    "verdict.v1": GateVerdict(
        model="m",
        challenger="1" * 64,
        champion="0" * 64,
        passed=False,
        reasons=("gold",),
        time="2024",
        evidence={"gold": "3" * 64},
        judged=(Judged(kind="gold", name="f1", champion=0.8, challenger=0.7, allowed=0.02, passed=False),),
    ),
    "deid-map.v1": DeidMap(
        notes={"n": (SpanMap(0, 5, 0, 6, "NAME"),)}, times={"t": 4}, age_years=70, sender="A1", department="A2"
    ),
    "drift.v1": Drift(
        id="a",
        begun="a",
        state="begun",
        time="2024",
        since="2024",
        sender="A1",
        department="",
        kind="ORU^R01",
        feature="length",
        before=410.0,
        now=520.5,
        psi=0.31,
        p=1e-9,
        messages=500,
        entity_model="m@1",
    ),
    "run.v1": TrainingRun(
        id="a",
        model="m",
        trigger="labels",
        began="2024",
        ended="2024",
        outcome="made",
        champion=BundleRef("1", "0" * 64),
        challenger=BundleRef("2", "1" * 64),
        learned=150,
        held=50,
        data={"learned.jsonl": "3" * 64},
        tracking="b",
    ),
}


def test_the_files_are_current() -> None:
    """Run ``python -m schemas.jsonschema.generate`` after changing a record type."""
    for name, text in render().items():
        assert (FOLDER / name).read_text() == text, name


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_what_we_write_passes_the_schema(name: str) -> None:
    """An encoded record with every kind of field filled is valid."""
    schema = json.loads((FOLDER / f"{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(msgspec.json.encode(EXAMPLES[name])), schema)


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_another_shape_fails_the_schema(name: str) -> None:
    """The schema is not the empty one."""
    schema = json.loads((FOLDER / f"{name}.json").read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate([], schema)


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_records_are_read_back_as_they_were_written(name: str) -> None:
    """Decimals keep their digits on the way."""
    assert msgspec.json.decode(msgspec.json.encode(EXAMPLES[name]), type=RECORDS[name]) == EXAMPLES[name]
