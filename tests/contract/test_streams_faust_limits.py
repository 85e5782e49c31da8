"""What of Faust is never used, because it is known to lose, to double or to stall (docs/reference/reliability.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("streams", "agents", "gateway", "ops", "models", "schemas")
#: Attribute calls that would bring tables, repartition topics, requests between agents, Faust's own producer or its telemetry into the stream.
FORBIDDEN = {
    "Table",
    "GlobalTable",
    "SetTable",
    "group_by",
    "ask",
    "through",
    "forward",
    "setup_opentelemetry",
    "setup_prometheus_sensors",
}


def _calls(package: str) -> Iterator[tuple[str, str]]:
    for path in (ROOT / package).rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "faust" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                yield str(path.relative_to(ROOT)), node.func.attr


@pytest.mark.parametrize("package", PACKAGES)
def test_tables_and_their_kin_are_not_used(package: str) -> None:
    """State is in Redis; recovery of tables and their changelogs has open bugs."""
    assert [(file, name) for file, name in _calls(package) if name in FORBIDDEN] == []


def test_one_module_makes_agents() -> None:
    """The discipline stands in one place: only the runner defines an agent, with one consumer of each record."""
    makers = {file for package in PACKAGES for file, name in _calls(package) if name == "agent"}
    assert makers == {"streams/runner.py"}
    text = (ROOT / "streams" / "runner.py").read_text(encoding="utf-8")
    assert "concurrency=1" in text
    assert "enable_acks = False" in (ROOT / "streams" / "gathering.py").read_text(encoding="utf-8")
