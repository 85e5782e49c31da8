"""Damaged messages of both formats through all their readers; a million of each are ``python -m benchmarks.parse_fuzz``."""

from __future__ import annotations

import pytest

from benchmarks import parse_fuzz


@pytest.mark.slow
@pytest.mark.parametrize("form", parse_fuzz.FORMATS)
def test_damaged_messages_are_read_or_refused(form: str) -> None:
    """Five thousand: no exception outside the error tree, none slow, no memory kept; enough of them get past the first check."""
    row = parse_fuzz.fuzz(form, 5000, 1)
    assert row["unhandled"] == {}
    assert row["slowest_ms"] < 1000
    assert row["memory_growth_mib"] < 50
    assert row["outcomes"]["read"] > 1000
    assert row["inputs"] - row["outcomes"]["read"] > 1000


def test_the_count_sees_what_is_unhandled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: a reader that raises something else is told with its place."""

    def broken(_form: str, payload: bytes) -> None:
        if b"OBX" in payload:
            raise IndexError(payload.decode("latin-1"))

    monkeypatch.setattr(parse_fuzz, "read", broken)
    row = parse_fuzz.fuzz("hl7", 50, 1)
    assert sum(row["unhandled"].values()) > 10
    assert all(name.startswith("IndexError test_parse_fuzz.py:") for name in row["unhandled"])
