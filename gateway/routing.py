"""Keys of raw records: a keyed hash of the patient identifier, so that one patient's messages stay in order on one partition
and nobody who sees keys learns an identifier.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from schemas.fhir.references import patients_of, subjects
from schemas.fhir.walk import resources
from schemas.hl7.er7 import Message
from schemas.identity import Identifier
from streams.keyring import Keyring

#: Hexadecimal digits of a key: 96 bits, no collision in practice, too short for nothing.
_DIGITS = 24
_SEPARATOR = b"\x1f"
#: Repetitions of PID-3 that are looked at; more are an attack, not a patient.
_REPETITIONS = 50


class RoutingKey:
    """Makes record keys and duplicate-ledger keys from one derived secret, which a rotation of keys leaves alone: the keys are out in the log."""

    __slots__ = ("_key",)

    def __init__(self, ring: Keyring) -> None:
        self._key = ring.derive("gateway/routing", ring.names)

    def digest(self, purpose: str, *parts: bytes) -> bytes:
        """Keyed hash of ``parts``, hexadecimal; ``purpose`` keeps the uses apart."""
        text = _SEPARATOR.join((purpose.encode(), *parts))
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()[:_DIGITS].encode()

    def patient(self, identifier: Identifier) -> bytes:
        """Record key of everything about the patient with this identifier."""
        return self.digest("patient", identifier.system.strip().encode(), identifier.value.strip().encode())


def hl7_patient(message: Message) -> Identifier | None:
    """The identifier that routes: PID-3 of type MR, else its first repetition, else PID-2, PID-4.

    In a merge (A34, A40) PID is the survivor and MRG the retired one (HL7 v2.5.1, 3.3.40), so that the survivor's key is used.
    """
    pid = message.first("PID")
    if pid is None:
        return None
    found: Identifier | None = None
    for raw in pid.repetitions(3)[:_REPETITIONS]:
        parts = [pid.leaf(pid.subcomponents(part)[0]) for part in pid.components(raw)[:5]] + [""] * 5
        if not parts[0]:
            continue
        candidate = Identifier(value=parts[0], system=parts[3], type=parts[4])
        if candidate.type == "MR":
            return candidate
        found = found or candidate
    if found is not None:
        return found
    for field in (2, 4):
        if value := pid.get(field):
            return Identifier(value=value, system=pid.get(field, 1, 4))
    return None


def fhir_patient(resource: dict[str, Any]) -> Identifier | None:
    """What routes a resource or a Bundle of one patient: the logical id by which it refers to the patient, so that ``Patient/1``
    and everything about it stay together; else the business identifier that Patient or subject carries.
    """
    for key in patients_of(resource):
        if not key.startswith("#"):  # a Patient without an id
            return Identifier(value=key, system="fhir")
    for _, inner in resources(resource):
        candidates = inner.get("identifier") if inner.get("resourceType") == "Patient" else None
        if not isinstance(candidates, list):
            candidates = [reference.get("identifier") for reference in subjects(inner)]
        for candidate in candidates:
            value, system = (candidate.get("value"), candidate.get("system")) if isinstance(candidate, dict) else (None, None)
            if isinstance(value, str) and value.strip():
                return Identifier(value=value, system=system if isinstance(system, str) else "")
    return None
