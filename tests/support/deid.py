"""Vaults and messages for the tests of de-identification. Every person here is invented."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from functools import cache
from typing import Any

from agents.deidentify.policy import load_policy
from agents.deidentify.step import Deidentified, Deidentifier
from agents.vault.backend import Backend, MemoryBackend
from agents.vault.contract import PatientRequest, VaultRequest
from agents.vault.vault import TokenVault, memory_vault
from schemas.envelope import FHIR_JSON, HL7_V2
from schemas.identity import Identifier, Person, PersonName, Role
from streams.keyring import Keyring
from tests.support.keyring import RING

#: Everything that ADT and ORU below say about the patient and everybody around.
IDENTIFIERS = (
    "Quillfeather", "Jonas", "Peregrine", "100200300", "900800700", "Wendelgard", "Thistlewood", "12 Elm Row", "Barton", "44123",
    "5550101234", "jonas@example.org", "ACC77001", "V5512345", "19500102", "Stonebridge", "Amaryllis", "D2001", "987-65-4321",
    "P1000123", "F2000456",
)  # fmt: skip

HEAD = (
    "MSH|^~\\&|LAB|NORTHGATE|EHR|NORTHGATE|20240102030405+0000||{kind}|MSG0000001|P|2.5.1|||AL|NE||UNICODE UTF-8\r"
    "PID|1|900800700|100200300^^^NORTHGATE&1.2.840.99&ISO^MR~900800700^^^NHS^NH||Quillfeather^Jonas^Peregrine^Jr^Mr||19500102|M||"
    "2106-3^White^CDCREC|12 Elm Row^Flat 2^Barton^OH^44123^USA^H||(555)010-1234^PRN^PH~^NET^Internet^jonas@example.org|||M||"
    "ACC77001^^^NORTHGATE|987-65-4321\r"
    "NK1|1|Thistlewood^Wendelgard^^^Mrs|SPO^Spouse|12 Elm Row^^Barton^OH^44123|(555)010-4321\r"
    "PV1|1|I|W2^201^1^NORTHGATE||||D2001^Stonebridge^Amaryllis^^^Dr||||||||||||V5512345^^^NORTHGATE^VN\r"
)
ADT = (HEAD.format(kind="ADT^A01^ADT_A01") + "AL1|1|DA|7980^Penicillin^RXNORM|SV|hives\rZPI|1|Quillfeather\r").encode()
NOTE = (
    "Mr. Quillfeather (MRN 100-200-300, DOB 01/02/1950) was seen on 3 January 2024 by Dr. Stonebridge.",
    "Wife Wendelgard Thistlewood, phone 555-010-1234, reports chest pain since 2019.",
    "Long QT noted; continue metformin 500 mg. BP 120/80.",
)
ORU = (
    HEAD.format(kind="ORU^R01^ORU_R01")
    + "ORC|RE|P1000123^EHR|F2000456^LAB||CM\r"
    + "OBR|1|P1000123^EHR|F2000456^LAB|11506-3^Progress note^LN|||20240102020000\r"
    + "OBX|1|NM|2823-3^Potassium^LN||5.9|mmol/L^^UCUM|3.5-5.1|H|||F|||20240102023000||U7001^Stonebridge^Amaryllis\r"
    + "".join(f"OBX|{n}|TX|11506-3^Progress note^LN||{line}||||||F\r" for n, line in enumerate(NOTE, 2))
).encode()


def patient_resource(**changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": "pat-7001",
        "identifier": [{"system": "urn:oid:1.2.840.99", "value": "100200300", "type": {"coding": [{"code": "MR"}]}}],
        "name": [{"family": "Quillfeather", "given": ["Jonas", "Peregrine"]}],
        "gender": "male",
        "birthDate": "1950-01-02",
        "address": [{"line": ["12 Elm Row"], "city": "Barton", "state": "OH", "postalCode": "44123", "country": "USA"}],
        "telecom": [{"system": "phone", "value": "(555) 010-1234"}],
        **changes,
    }


def bundle(*resources: dict[str, Any]) -> bytes:
    entries = [{"fullUrl": f"https://ehr.example.org/fhir/{r['resourceType']}/{r['id']}", "resource": r} for r in resources]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()


def report(text: str, **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "DiagnosticReport",
        "id": "rep-8001",
        "status": "final",
        "code": {"text": "Chest x-ray"},
        "subject": {"reference": "Patient/pat-7001", "display": "Jonas Quillfeather"},
        "effectiveDateTime": "2024-01-02T03:04:05Z",
        "issued": "2024-01-02T04:00:00Z",
        "conclusion": text,
        **changes,
    }


@cache
def deidentifier(**options: Any) -> Deidentifier:
    """Two layers; the model has tests of its own."""
    return Deidentifier(load_policy("safe_harbor"), **options)


def clean(
    payload: bytes, content_type: str = HL7_V2, *, vault: TokenVault | None = None, using: Deidentifier | None = None
) -> Deidentified:
    """One message through both halves of the step."""
    step = using or deidentifier()
    prepared = step.prepare(content_type, payload)
    (pseudonyms,) = asyncio.run((vault or memory_vault(7)).resolve([prepared.request]))
    return step.apply(prepared, pseudonyms)


def clean_fhir(payload: bytes, **options: Any) -> Deidentified:
    return clean(payload, FHIR_JSON, **options)


def vault_on(backend: Backend | None = None, *, seed: int = 7, tenant: str = "t1", ring: Keyring = RING) -> TokenVault:
    return TokenVault(backend or MemoryBackend(), ring, tenant=tenant, randomness=random.Random(seed))


def patient_request(
    *links: str,
    weak: Sequence[str] = (),
    wanted: Sequence[str] = (),
    identifiers: Sequence[tuple[str, str]] = (),
    family: str = "",
) -> VaultRequest:
    person = Person(
        role=Role.PATIENT,
        names=(PersonName(family=family),) if family else (),
        identifiers=tuple(Identifier(system=system, value=value) for system, value in identifiers),
    )
    return VaultRequest(
        patients=(PatientRequest(person=person, links=links, weak=tuple(weak)),), wanted=tuple(wanted), fallback="message\x1fC1"
    )
