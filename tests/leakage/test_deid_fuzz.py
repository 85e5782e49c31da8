"""Damaged input of every format at reduced size; ten thousand of each are ``python -m benchmarks.deid_fuzz``."""

from __future__ import annotations

import pytest

from benchmarks.deid_fuzz import HANG_S, fuzz


@pytest.mark.parametrize("name", ["hl7", "fhir", "plain", "html", "rtf", "ccda"])
def test_damaged_input_ends_in_a_result_or_a_code(name: str) -> None:
    """No exception outside the error tree, and no input that takes long."""
    (row,) = fuzz(60, 3, (name,)).values()
    assert row["unhandled"] == {}
    assert row["slowest_s"] < HANG_S
    assert len(row["outcomes"]) > 1 or name == "html"


def test_damaged_pdf_ends_in_a_result_or_a_code() -> None:
    """Each costs a process, hence few."""
    pytest.importorskip("pypdf")
    (row,) = fuzz(12, 3, ("pdf",)).values()
    assert row["unhandled"] == {}
    assert row["slowest_s"] < 2 * HANG_S
