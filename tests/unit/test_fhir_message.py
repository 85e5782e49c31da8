"""One way into a message whatever its content type says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from schemas.errors import MalformedMessage, Poison, Reason, UnsupportedContent
from schemas.identity_reader import read_identity
from schemas.message import encode, fact_time_paths, parse, read_clinical, replace_part

HL7 = b"MSH|^~\\&|A|B|C|D|20240102||ORU^R01|1|P|2.5.1\rPID|1||1001||Quill^Jonas\rOBX|1|TX|1-8^Note^LN||No fever was noted today.||||||F\r"
FHIR = b'{"resourceType":"Observation","id":"o","status":"final","code":{"text":"Note"},"subject":{"reference":"Patient/1"},'
FHIR += b'"valueString":"No fever was noted today."}'


@pytest.mark.parametrize(
    "content_type",
    [
        "application/fhir+json",
        "application/fhir+json; fhirVersion=4.0",
        "Application/FHIR+JSON;charset=UTF-8",
        "application/json",
    ],
)
def test_fhir_content_types(content_type: str) -> None:
    """Parameters other than the FHIR version do not matter."""
    assert encode(parse(content_type, FHIR)) == FHIR


def test_both_formats_answer_the_same_questions() -> None:
    """Notes, identity and a replaced part work alike on HL7 v2 and FHIR."""
    for content_type, payload in (("x-application/hl7-v2+er7", HL7), ("application/fhir+json", FHIR)):
        message = parse(content_type, payload)
        identity, clinical = read_identity(message), read_clinical(message)
        assert identity.patient is not None
        assert [note.text for note in clinical.notes] == ["No fever was noted today."]
        assert set(fact_time_paths(message)) == {fact.path for fact in clinical.facts}
        replace_part(message, clinical.notes[0].parts[0].path, "Fever was noted since Tuesday.")
        assert [note.text for note in read_clinical(parse(content_type, encode(message))).notes] == [
            "Fever was noted since Tuesday."
        ]


@pytest.mark.parametrize(
    ("content_type", "payload", "reason"),
    [
        ("text/plain", b"x", Reason.UNSUPPORTED_CONTENT_TYPE),
        ("application/fhir+xml", b"<Patient/>", Reason.UNSUPPORTED_CONTENT_TYPE),
        ("", b"{}", Reason.UNSUPPORTED_CONTENT_TYPE),
        ("application/fhir+json; fhirVersion=3.0", FHIR, Reason.UNSUPPORTED_VERSION),
        ("application/fhir+json", b'{"resourceType":"ProcessRequest"}', Reason.UNSUPPORTED_RESOURCE),
        ("application/fhir+json", b'{"resourceType":"Resource"}', Reason.UNSUPPORTED_RESOURCE),
        ("application/fhir+json", b'{"id":"1"}', Reason.MALFORMED_FHIR),
        ("application/fhir+json", b'{"resourceType":{}}', Reason.MALFORMED_FHIR),
        ("x-application/hl7-v2+er7", b"PID|1", Reason.MALFORMED_HL7),
    ],
)
def test_what_cannot_be_handled_is_refused_by_code(content_type: str, payload: bytes, reason: Reason) -> None:
    """Wrong type, release, resource and payload each have their reason."""
    with pytest.raises(Poison) as caught:
        parse(content_type, payload)
    assert caught.value.reason is reason
    assert isinstance(caught.value, MalformedMessage | UnsupportedContent)


def test_reading_clinically_loads_no_identifier_types() -> None:
    """A stage past de-identification that imports this module cannot come by ``schemas.identity``."""
    code = "import sys, schemas.message; sys.exit('schemas.identity' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
