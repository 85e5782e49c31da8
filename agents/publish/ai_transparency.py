"""HL7 "AI Transparency on FHIR" (http://hl7.org/fhir/uv/aitransparency, 1.0.0-ballot): all that we take of it stands here.

It is a ballot: names may change, and then only here. No ``meta.profile`` is claimed until it is published.
"""

from __future__ import annotations

from agents.publish.names import Object

_BASE = "http://hl7.org/fhir/uv/aitransparency"
DEVICE_TYPE = f"{_BASE}/CodeSystem/AIdeviceTypeCS"
CONFIDENCE = f"{_BASE}/StructureDefinition/AIconfidence"
KIND = f"{_BASE}/StructureDefinition/aitransparency.AIKind"


def artificial_intelligence() -> Object:
    """Type of an AIDevice, and role of the agent in an AIProvenance."""
    return {"coding": [{"system": DEVICE_TYPE, "code": "Artificial-Intelligence"}]}


def kind(*, learned: bool) -> Object:
    """What the Device is: a network that was trained, or rules that people wrote."""
    code = "Deep-Learning-Models" if learned else "Rule-Based-Systems"
    return {"url": KIND, "valueCodeableConcept": {"coding": [{"system": DEVICE_TYPE, "code": code}]}}


def confidence(score: float) -> Object:
    """How probable the maker holds what the resource says, 0 to 1."""
    return {"url": CONFIDENCE, "valueDecimal": round(min(1.0, max(0.0, score)), 4)}
