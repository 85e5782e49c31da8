"""Damaged input of every format at reduced size; ten thousand of each are ``python -m benchmarks.deid_fuzz``."""

from __future__ import annotations

import contextlib
import random

import pytest

from agents.deidentify.text.normalise import normalise
from benchmarks import hostile_cda
from benchmarks.deid_fuzz import HANG_S, fuzz
from schemas.attachments import to_text
from schemas.errors import MalformedMessage, Reason
from tests.support import deid


@pytest.mark.parametrize("name", ["hl7", "fhir", "plain", "html", "rtf", "ccda", "ccda, damaged bytes"])
def test_damaged_input_ends_in_a_result_or_a_code(name: str) -> None:
    """No exception outside the error tree, and no input that takes long."""
    (row,) = fuzz(60, 3, (name,)).values()
    assert row["unhandled"] == {}
    assert row["slowest_s"] < HANG_S
    assert len(row["outcomes"]) > 1 or name == "html"


def test_hostile_documents_reach_the_narrative() -> None:
    """Most C-CDA inputs are opened, and most of those show the name that must not be in the output."""
    texts: list[str] = []
    for number in range(120):
        with contextlib.suppress(MalformedMessage):
            opened = to_text(hostile_cda.document(random.Random(number)), "text/xml")
            texts += [normalise(opened[0]).text] if opened else []
    assert len(texts) > 90
    assert sum(hostile_cda.NAME.casefold() in text.casefold() for text in texts) > 60


def test_damaged_pdf_ends_in_a_result_or_a_code() -> None:
    """Each costs a process, hence few."""
    pytest.importorskip("pypdf")
    (row,) = fuzz(12, 3, ("pdf",)).values()
    assert row["unhandled"] == {}
    assert row["slowest_s"] < 2 * HANG_S


def test_a_line_feed_inside_a_field_is_refused_with_a_code() -> None:
    """Found by fuzzing: the rewritten number kept the line feed, and a ValueError stopped the stage."""
    row = b"OBX|6|NM|2857-7^Substance^LN||8.7\nmmol/L^^UCUM|3.5-5.1|N|||F\r"
    with pytest.raises(MalformedMessage) as caught:
        deid.clean(deid.ORU + row)
    assert (caught.value.reason, caught.value.path) == (Reason.MALFORMED_HL7, "OBX-5")
