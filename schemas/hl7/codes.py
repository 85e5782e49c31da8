"""Coded elements (CE, CWE, CNE, CF): their codings, with the coding systems of HL7 table 0396 as URIs.

URIs: https://terminology.hl7.org (NamingSystem of each code system). A system that is not listed keeps its table 0396 text.
"""

from __future__ import annotations

import re

from schemas.clinical import Coding
from schemas.hl7.er7 import Segment

LOINC = "http://loinc.org"
MDC = "urn:iso:std:iso:11073:10101"

_SYSTEMS = {
    **dict.fromkeys(("LN", "LOINC"), LOINC),
    **dict.fromkeys(("SCT", "SNM3", "SNOMEDCT", "SCTUSX", "SCT2"), "http://snomed.info/sct"),
    **dict.fromkeys(("I10C", "I10CM", "ICD10CM", "I10CD", "ICD-10-CM"), "http://hl7.org/fhir/sid/icd-10-cm"),
    **dict.fromkeys(("I10P", "ICD10PCS"), "http://www.cms.gov/Medicare/Coding/ICD10"),
    **dict.fromkeys(("I10", "ICD10", "ICD-10"), "http://hl7.org/fhir/sid/icd-10"),
    **dict.fromkeys(("I9", "I9C", "I9CDX", "ICD9", "I9CM"), "http://hl7.org/fhir/sid/icd-9-cm"),
    **dict.fromkeys(("RXNORM", "RXN"), "http://www.nlm.nih.gov/research/umls/rxnorm"),
    **dict.fromkeys(("NDC", "NDCN"), "http://hl7.org/fhir/sid/ndc"),
    "CVX": "http://hl7.org/fhir/sid/cvx",
    "MVX": "http://terminology.hl7.org/CodeSystem/MVX",
    **dict.fromkeys(("C4", "CPT", "CPT4"), "http://www.ama-assn.org/go/cpt"),
    "HCPCS": "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
    "UCUM": "http://unitsofmeasure.org",
    "MDC": MDC,
    "UNII": "http://fdasis.nlm.nih.gov",
    "ATC": "http://www.whocc.no/atc",
    "WC": "http://www.whocc.no/atc",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "ICDO": "http://terminology.hl7.org/CodeSystem/icd-o-3",
    "NDFRT": "http://hl7.org/fhir/ndfrt",
}


#: An HL7 table: ``HL70078`` is http://terminology.hl7.org/CodeSystem/v2-0078.
_TABLE = re.compile(r"HL7(\d{4})", re.ASCII)


def system_uri(name: str) -> str:
    """URI of a table 0396 name; the name itself when it has none (``L``, ``99MDH``)."""
    if table := _TABLE.fullmatch(name.upper()):
        return f"http://terminology.hl7.org/CodeSystem/v2-{table[1]}"
    return _SYSTEMS.get(name.upper(), name)


def codings(segment: Segment, repetition: str) -> tuple[Coding, ...]:
    """Primary, alternate and second alternate coding of one raw CE/CWE repetition; a code or a text is needed to be one."""
    parts = segment.components(repetition)
    found: list[Coding] = []
    for first in (0, 3, 9):
        code, display, system = (segment.plain(part) for part in (*parts[first : first + 3], "", "", "")[:3])
        if code or display:
            found.append(Coding(system=system_uri(system), code=code, display=display))
    return tuple(found)


def field_codings(segment: Segment, field: int) -> tuple[Coding, ...]:
    """Codings of every repetition of the field."""
    return tuple(coding for repetition in segment.repetitions(field) for coding in codings(segment, repetition))


def display(found: tuple[Coding, ...]) -> str:
    """The text that people read: the first display, else the first code."""
    return next((coding.display for coding in found if coding.display), found[0].code if found else "")
