"""JSON Schemas of the rule form and its tables, for editors and for sites that write rules: ``python -m agents.decide.rule_schema``."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from agents.decide.form.rule import RuleForm
from agents.decide.form.tables import DrugTable, LimitTable
from agents.decide.ruleset import HERE

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
FILES: dict[str, type[msgspec.Struct]] = {
    "rules/rule.schema.json": RuleForm,
    "tables/limits.schema.json": LimitTable,
    "tables/drugs.schema.json": DrugTable,
}


def schema_text(form: type[msgspec.Struct]) -> str:
    """The schema as it stands in the file."""
    schema: dict[str, Any] = {"$schema": _DRAFT, **_numbers(msgspec.json.schema(form))}
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"


def _numbers(schema: Any) -> Any:
    """YAML writes decimals as numbers; msgspec's schema knows them as text only."""
    if isinstance(schema, dict):
        if schema.get("format") == "decimal":
            return {"type": ["number", "string"]}
        return {key: _numbers(value) for key, value in schema.items()}
    return [_numbers(one) for one in schema] if isinstance(schema, list) else schema


def main() -> None:
    for name, form in FILES.items():
        (HERE / name).write_text(schema_text(form), "utf-8")


if __name__ == "__main__":
    main()
