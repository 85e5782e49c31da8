"""Text of PDFs, and the limits that hold a hostile one."""

from __future__ import annotations

import base64
import json
import time
import zlib

import pytest

from benchmarks.synthetic_pdf import pdf
from schemas.attachments import to_text
from schemas.errors import MalformedMessage, Reason
from schemas.pdf import MAX_PDF_BYTES, pdf_to_text
from tests.support import deid

WORDS = b"BT /F1 12 Tf 20 200 Td (Mr. Quillfeather, MRN 100200300, took metformin 500 mg) Tj ET"


def refusal(data: bytes) -> Reason:
    with pytest.raises(MalformedMessage) as caught:
        pdf_to_text(data)
    return caught.value.reason


def test_what_is_no_pdf_or_too_large_is_refused_before_a_reader_sees_it() -> None:
    """Judged in this process."""
    assert refusal(b"Jonas") is Reason.MALFORMED_FHIR
    assert refusal(b"%PDF-1.4" + b" " * MAX_PDF_BYTES) is Reason.TOO_LARGE


def test_text_is_read_and_scrubbed_and_comes_back_as_plain_text() -> None:
    """An attachment of a report: no identifier of the patient, the drug still there, no PDF any more."""
    pytest.importorskip("pypdf")
    assert to_text(pdf(WORDS), "application/pdf") == (pdf_to_text(pdf(WORDS)), "pdf")
    form = {"contentType": "application/pdf", "data": base64.b64encode(pdf(zlib.compress(WORDS), b"/FlateDecode")).decode()}
    result = deid.clean_fhir(deid.bundle(deid.patient_resource(), deid.report("well", presentedForm=[form])))
    (clean,) = json.loads(result.payload)["entry"][1]["resource"]["presentedForm"]
    text = base64.b64decode(clean["data"]).decode()
    assert clean["contentType"].startswith("text/plain")
    assert "metformin 500 mg" in text
    assert not any(value in text for value in ("Quillfeather", "100200300", "PDF"))


def test_text_of_an_hl7_attachment_is_scrubbed() -> None:
    """ED with subtype PDF."""
    pytest.importorskip("pypdf")
    packed = base64.b64encode(pdf(WORDS)).decode()
    result = deid.clean(deid.ORU + f"OBX|9|ED|11506-3^Note^LN||^AP^PDF^Base64^{packed}||||||F\r".encode())
    row = next(line for line in result.payload.split(b"\r") if line.startswith(b"OBX|9|")).split(b"|")
    assert b"metformin" in base64.b64decode(row[5].split(b"^")[4])
    assert b"Quillfeather" not in base64.b64decode(row[5].split(b"^")[4])
    assert b"PDF" not in row[5]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (pdf(b"q Q"), Reason.UNSUPPORTED_CONTENT_TYPE),
        (pdf(zlib.compress(zlib.compress(b" " * 300_000_000, 9), 9), b"[/FlateDecode/FlateDecode]"), Reason.MALFORMED_FHIR),
        (b"%PDF-1.4 nothing", Reason.MALFORMED_FHIR),
    ],
    ids=["no text", "deflate bomb", "junk"],
)
def test_scans_bombs_and_junk_are_withheld_with_a_code(data: bytes, expected: Reason) -> None:
    """Quickly, and in a process that may take half a gigabyte at most."""
    pytest.importorskip("pypdf")
    began = time.monotonic()
    assert refusal(data) is expected
    assert time.monotonic() - began < 5


def test_endless_work_is_cut_off() -> None:
    """Millions of drawing operators: the limit of processor time ends it."""
    pytest.importorskip("pypdf")
    began = time.monotonic()
    assert refusal(pdf(zlib.compress(b"BT (x) Tj ET " * 3_000_000), b"/FlateDecode")) in {Reason.MALFORMED_FHIR, Reason.TOO_LARGE}
    assert time.monotonic() - began < 12
