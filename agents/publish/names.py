"""Code systems, extension URLs and ids of what is published; one place, because HL7's own guide for AI output is still a ballot.

AIAST and the roles of Device and Provenance follow "AI Transparency on FHIR" 1.0.0-ballot (2025-12, R4).
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from typing import Any

from schemas.ids import derived_id

STAGE = "publish"
Object = dict[str, Any]

#: Identifiers of published resources: equal for equal input and versions, so that a conditional PUT overwrites.
IDENTIFIER = "urn:x-nlp"
#: Patient tokens, the system that de-identification writes too: tenant and domain follow.
PSEUDONYM = "urn:x-pseud"
MESSAGE = "urn:x-wardstream:message"
FACT = "urn:x-wardstream:fact"
POLICY = "urn:x-wardstream:policy"

_BASE = "https://wardstream.org/fhir"
EVIDENCE = f"{_BASE}/StructureDefinition/evidence"
BASIS = f"{_BASE}/StructureDefinition/basis"
MISSING = f"{_BASE}/StructureDefinition/missing"
SUPERSEDES = f"{_BASE}/StructureDefinition/supersedes"
ELAPSED = f"{_BASE}/StructureDefinition/elapsed-minutes"
#: ``Fact.version`` of what a message states: of two resources with one identifier the higher holds, whatever comes first.
FACT_VERSION = f"{_BASE}/StructureDefinition/fact-version"
FLAG_TYPES = f"{_BASE}/CodeSystem/flag-type"

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
OBSERVATION_VALUE = f"{_TERMINOLOGY}/v3-ObservationValue"
ACT_CODE = f"{_TERMINOLOGY}/v3-ActCode"
ROLE_CODE = f"{_TERMINOLOGY}/v3-RoleCode"
CONDITION_CLINICAL = f"{_TERMINOLOGY}/condition-clinical"
CONDITION_VERIFICATION = f"{_TERMINOLOGY}/condition-ver-status"
CONDITION_CATEGORY = f"{_TERMINOLOGY}/condition-category"
ALLERGY_CLINICAL = f"{_TERMINOLOGY}/allergyintolerance-clinical"
ALLERGY_VERIFICATION = f"{_TERMINOLOGY}/allergyintolerance-verification"
PROVENANCE_AGENT = f"{_TERMINOLOGY}/provenance-participant-type"

AIAST = {"system": OBSERVATION_VALUE, "code": "AIAST", "display": "Artificial Intelligence asserted"}
PSEUDED = {"system": OBSERVATION_VALUE, "code": "PSEUDED", "display": "pseudonymized"}


#: Characters that no FHIR string may hold; a sender's hexadecimal escapes can bring them.
_CONTROL = dict.fromkeys([*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000)])


def plain(text: str) -> str:
    """``text`` as a FHIR string: without control characters and blanks around it."""
    return text.translate(_CONTROL).strip()


def coded(system: str, code: str) -> Object:
    return {"coding": [{"system": system, "code": code}]}


def urn(name: str) -> str:
    return f"urn:uuid:{name}"


def resource_id(*parts: str) -> str:
    return derived_id(parts[0], STAGE, ordinal="|".join(parts[1:]))


def stable(*parts: str) -> str:
    """Value of an ``urn:x-nlp`` identifier."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def control_id(name: str) -> str:
    """A UUID as MSH-10 of HL7 v2.5.1, which has room for 20 characters: its first 100 bits in base 32."""
    return base64.b32encode(uuid.UUID(name).bytes).decode()[:20]
