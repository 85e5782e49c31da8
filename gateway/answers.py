"""HTTP responses of the FHIR door."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from gateway.fhir import Accepted, Entry
from gateway.intake import Busy
from gateway.outcomes import accepted, issue, outcome, status_of
from schemas.envelope import FHIR_JSON
from schemas.errors import WardstreamError

#: Seconds after which a sender that was told to wait may come back.
RETRY_AFTER = {"retry-after": "5"}


class FhirResponse(Response):
    media_type = FHIR_JSON

    def __init__(self, content: dict[str, Any], status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(msgspec.json.encode(content), status_code, dict(headers or {}))


def stored(result: Accepted) -> FhirResponse:
    """202 for what is stored; batch and transaction get their response Bundle with 200."""
    headers = {"x-record-id": ",".join(result.records[:16])} if result.records else {}
    if result.kind in ("batch", "transaction"):
        bundle = {
            "resourceType": "Bundle",
            "type": f"{result.kind}-response",
            "entry": [{"response": _entry(entry)} for entry in result.entries],
        }
        return FhirResponse(bundle, 200, headers)
    return FhirResponse(accepted(len(result.records)), 202, headers)


def _entry(entry: Entry) -> dict[str, Any]:
    if entry.reason is None:
        return {"status": "202 Accepted"}
    status, code = status_of(entry.reason)
    words = {400: "400 Bad Request", 422: "422 Unprocessable Entity"}
    return {"status": words.get(status, str(status)), "outcome": outcome(issue(code, entry.reason.value, path=entry.path))}


def refused(error: WardstreamError) -> FhirResponse:
    """The answer to anything that could not be stored. 429: this gateway is full; 503: Kafka does not store."""
    status, code = status_of(error.reason)
    if isinstance(error, Busy):
        status, code = 429, "throttled"
    return FhirResponse(
        outcome(issue(code, error.reason.value, path=error.path or "")), status, RETRY_AFTER if status in (429, 503) else None
    )


def problem(status: int, code: str, text: str, headers: Mapping[str, str] | None = None) -> FhirResponse:
    return FhirResponse(outcome(issue(code, text)), status, headers)
