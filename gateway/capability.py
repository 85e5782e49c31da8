"""The CapabilityStatement of ``GET /fhir/metadata``: what this door takes, in FHIR's own words."""

from __future__ import annotations

from functools import cache
from typing import Any

from schemas.fhir.definitions import resource_names

#: Day of the last change of what is stated here.
DATE = "2026-11-24"


@cache
def statement() -> dict[str, Any]:
    """http://hl7.org/fhir/R4/capabilitystatement.html, kind ``instance``."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": DATE,
        "kind": "instance",
        "software": {"name": "Wardstream"},
        "implementation": {"description": "Ingest of clinical resources; nothing is read back here"},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+ndjson"],
        "rest": [
            {
                "mode": "server",
                "security": {"description": "Bearer token or TLS client certificate"},
                "resource": [{"type": name, "interaction": [{"code": "create"}]} for name in resource_names()],
                "interaction": [{"code": "transaction"}, {"code": "batch"}],
            }
        ],
    }
