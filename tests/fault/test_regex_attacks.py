"""Every regular expression of ours against strings made to slow it down; 100,000 characters each: ``python -m tests.support.patterns``."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys

import pytest

from tests.support import patterns

#: In CI a tenth of the length that the command takes: a square of it still takes a second, a line some milliseconds.
SIZE = 10_000
LIMIT_S = 0.15


@pytest.mark.slow
def test_no_pattern_takes_more_than_its_line() -> None:
    """None needs longer than the limit for 10,000 characters of attack, in processor time; the patterns of all packages that have any were found."""
    command = [sys.executable, "-m", "tests.support.patterns", "--size", str(SIZE), "--limit", str(LIMIT_S)]
    rows = json.loads(subprocess.run(command, cwd=patterns.ROOT, capture_output=True, check=True).stdout)
    assert [row for row in rows if row[0] == math.inf] == []
    assert len(rows) > 250
    assert {row[1].split("/")[0] for row in rows} == {"agents", "gateway", "models", "ops", "schemas", "streams"}


@pytest.mark.parametrize("pattern", [r"(a+)+b", r"(\w|\d)+x", r"a*a*a*b", r"\s+$", r"(?:x|xx)*y"])
def test_the_attacks_find_what_is_slow(pattern: str) -> None:
    """Negative control: patterns known to backtrack without end, and one that is a square when searched for."""
    assert patterns.longest(pattern, re.compile(pattern).flags, anchored=False, limit_s=LIMIT_S, size=SIZE) == math.inf


@pytest.mark.parametrize("pattern", [r"a{1,20}b", r"[^\W\d]\w{0,30}", r"(?<!\s)\s+(?!\S)?x?", r"\d{4}-\d{2}"])
def test_the_attacks_leave_the_quick_alone(pattern: str) -> None:
    """Bounded repeats are lines."""
    assert patterns.longest(pattern, re.compile(pattern).flags, anchored=False, limit_s=LIMIT_S, size=SIZE) < LIMIT_S
