"""OperationOutcome: how the FHIR door says yes and no. Codes and places only, never a value of the input.

http://hl7.org/fhir/R4/operationoutcome.html, issue codes http://hl7.org/fhir/R4/valueset-issue-type.html
"""

from __future__ import annotations

from typing import Any

from schemas.errors import Reason

Resource = dict[str, Any]

#: Reason -> HTTP status and issue code. What is not listed is our own fault: 500.
ANSWERS: dict[Reason, tuple[int, str]] = {
    Reason.MALFORMED_FHIR: (400, "structure"),
    Reason.MALFORMED_JSON: (400, "structure"),
    Reason.UNDECODABLE_CHARSET: (400, "structure"),
    Reason.TOO_LARGE: (413, "too-long"),
    Reason.TOO_DEEP: (400, "too-costly"),
    Reason.UNSUPPORTED_CONTENT_TYPE: (415, "not-supported"),
    Reason.UNSUPPORTED_MESSAGE_TYPE: (422, "not-supported"),
    Reason.UNSUPPORTED_RESOURCE: (422, "not-supported"),
    Reason.SCHEMA_MISMATCH: (422, "structure"),
    Reason.MISSING_PATIENT: (422, "required"),
    Reason.BROKER_UNAVAILABLE: (503, "transient"),
    Reason.STORE_UNAVAILABLE: (503, "transient"),
    Reason.CONFIGURATION: (503, "transient"),
}


def status_of(reason: Reason) -> tuple[int, str]:
    return ANSWERS.get(reason, (500, "exception"))


def issue(code: str, text: str, *, path: str = "", severity: str = "error") -> dict[str, Any]:
    """One issue; ``text`` is a reason code or fixed words."""
    row: dict[str, Any] = {"severity": severity, "code": code, "details": {"text": text}}
    if path:
        row["expression"] = [path]
    return row


def outcome(*issues: dict[str, Any]) -> Resource:
    return {"resourceType": "OperationOutcome", "issue": list(issues)}


def accepted(count: int) -> Resource:
    """All of it is stored durably; what becomes of it is published, not answered."""
    text = "stored" if count == 1 else f"stored as {count} records"
    return outcome(issue("informational", text, severity="information"))
