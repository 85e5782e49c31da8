"""Who and which numbers a message names, whatever its format; only for code that may see identifiers."""

from __future__ import annotations

from schemas.fhir import identity as fhir_identity
from schemas.hl7 import identity as hl7_identity
from schemas.identity import MessageIdentity
from schemas.message import Parsed


def read_identity(parsed: Parsed) -> MessageIdentity:
    """Raises UnsupportedContent for a FHIR Bundle about several patients."""
    return fhir_identity.read_identity(parsed) if isinstance(parsed, dict) else hl7_identity.read_identity(parsed)
