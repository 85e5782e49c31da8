"""The page on faults names tests that exist, every requirement, every known issue, and the rows of the recorded run."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from benchmarks.chaos.__main__ import page
from benchmarks.chaos.plan import load

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "reliability.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
REQUIRED = [f"R{n}" for n in range(1, 19)] + [f"M{n}" for n in range(1, 7)] + ["S1", "S2", "S3", "S4", "S6", "S12", "S13", "S18"]
#: Of faust-streaming and of robinhood/faust, as collected when the engine was chosen.
KNOWN = [
    "606",
    "312",
    "313",
    "502",
    "177",
    "517",
    "323",
    "440",
    "136",
    "175",
    "523",
    "532",
    "629",
    "640",
    "315",
    "189",
    "527",
    "596",
    "432",
    "786",
    "788",
    "322",
    "435",
    "448",
    "88",
    "53",
    "236",
    "237",
    "221",
    "162",
]
KNOWN_BEFORE = ["682", "340", "658", "604", "455"]


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_the_page_names_exists(file: str, name: str) -> None:
    """Under that name, in that file."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_requirement_has_a_row() -> None:
    """Each number stands in the first column of a row that names a test, a row of the run or a command."""
    rows = {}
    for line in PAGE.partition("## Which test holds what")[2].partition("## Known issues")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 3:
            rows |= dict.fromkeys(cells[0].split(", "), cells[2])
    assert [name for name in REQUIRED if not re.search(r"::test_|rows? R|python -m", rows.get(name, ""))] == []


def test_every_known_issue_has_a_guard() -> None:
    """Each number, with a test or a row behind it."""
    issues = PAGE.partition("## Known issues")[2].partition("## Latency")[0]
    told = set(re.findall(r"#(\d+)", issues))
    assert [number for number in (*KNOWN, *KNOWN_BEFORE) if number not in told] == []
    for line in issues.splitlines():
        if line.startswith("| #") or line.startswith("| ("):
            assert re.search(r"::test_|row R", line), line


def test_rows_that_are_named_are_in_the_schedule() -> None:
    """Also those of the table, which is the recorded run and nothing else."""
    known = {test.id for test in load()}
    assert {
        name for text in re.findall(r"rows? ((?:R[\w-]+(?:, | and )?)+)", PAGE) for name in re.findall(r"R[\w-]+", text)
    } <= known
    assert page(json.loads((ROOT / "benchmarks" / "results" / "chaos.json").read_text(encoding="utf-8"))) in PAGE
