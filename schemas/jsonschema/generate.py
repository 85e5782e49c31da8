"""Writes ``*.v1.json`` beside this file from the record types.

    python -m schemas.jsonschema.generate

A published version is never changed in a way that old records fail; such a change is a new version and a new file.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import msgspec

from schemas.audit import AuditEntry
from schemas.cards import CardFeedback
from schemas.deidentified import DeidMap
from schemas.drifts import Drift
from schemas.erasure import Erasure
from schemas.findings import Findings
from schemas.flags import Decision
from schemas.handled import Handled
from schemas.labels import ReviewedLabel
from schemas.merges import Merge
from schemas.releases import ModelRelease
from schemas.runs import TrainingRun
from schemas.samples import Sample
from schemas.verdicts import GateVerdict

RECORDS: dict[str, Any] = {
    "findings.v1": Findings,
    "decision.v1": Decision,
    "sample.v1": Sample,
    "label.v1": ReviewedLabel,
    "audit.v1": AuditEntry,
    "erasure.v1": Erasure,
    "merge.v1": Merge,
    "card-feedback.v1": CardFeedback,
    "handled.v1": Handled,
    "release.v1": ModelRelease,
    "verdict.v1": GateVerdict,
    "run.v1": TrainingRun,
    "deid-map.v1": DeidMap,
    "drift.v1": Drift,
}


def render() -> dict[str, str]:
    """File name -> text of each schema, always the same for the same types."""
    return {f"{name}.json": _render(name, record) for name, record in RECORDS.items()}


def main() -> None:
    for name, text in render().items():
        Path(__file__).with_name(name).write_text(text)


def _render(name: str, record: Any) -> str:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:wardstream:schema:{name}",
        **msgspec.json.schema(record),
    }
    return json.dumps(_tidy(schema), indent=1, sort_keys=True) + "\n"


def _tidy(value: Any) -> Any:
    """Docstrings as one paragraph of prose; they stand indented in the source."""
    if isinstance(value, dict):
        return {key: inspect.cleandoc(item) if key == "description" else _tidy(item) for key, item in value.items()}
    return [_tidy(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
