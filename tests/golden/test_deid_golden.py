"""Pairs that a clinician can read: ``NAME.raw.*`` goes in, ``NAME.clean.*`` comes out, and the notes as people see them.

After a wanted change: ``WARDSTREAM_GOLDEN=write python -m pytest tests/golden/test_deid_golden.py``, and read the difference.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from schemas.envelope import FHIR_JSON, HL7_V2
from schemas.message import parse, read_clinical
from tests.support.deid import clean

FOLDER = Path(__file__).parent / "deid"
CASES = sorted(FOLDER.glob("*.raw.*"))


@pytest.mark.parametrize("raw", CASES, ids=lambda path: path.name.split(".")[0])
def test_the_output_is_what_was_read_and_agreed(raw: Path) -> None:
    """Tokens come from a fixed seed, so the whole output is compared."""
    hl7 = raw.suffix == ".hl7"
    text = raw.read_text("utf-8")
    payload = text.replace("\n", "\r").encode() if hl7 else text.encode()
    content_type = HL7_V2 if hl7 else FHIR_JSON
    result = clean(payload, content_type)
    out = result.payload.decode()
    readable = out.replace("\r", "\n") if hl7 else json.dumps(json.loads(out), indent=2) + "\n"
    notes = "\n\n".join(note.text for note in read_clinical(parse(content_type, result.payload)).notes)
    for target, found in (
        (raw.with_name(raw.name.replace(".raw.", ".clean.")), readable),
        (raw.with_name(raw.name.split(".")[0] + ".notes.txt"), notes + "\n"),
    ):
        if os.environ.get("WARDSTREAM_GOLDEN") == "write":
            target.write_text(found, "utf-8")
        assert target.read_text("utf-8") == found


def test_there_are_pairs() -> None:
    """An empty folder would pass everything."""
    assert len(CASES) >= 4
