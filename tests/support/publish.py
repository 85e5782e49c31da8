"""Decisions and people for the tests of publish and deliver. All of them are invented."""

from __future__ import annotations

import msgspec

from agents.decide.context import PatientContext
from agents.decide.ruleset import RuleSet
from agents.decide.step import Decider
from agents.vault.contract import PatientRecord
from schemas.clinical import Coding
from schemas.findings import Assertion, Findings
from schemas.flags import Decision
from schemas.identity import Identifier, Person, PersonName, PostalAddress, Role
from tests.support.decide import DAY, creatinine, findings, note, tied

#: 2026-03-02T00:00Z in minutes since 1970, minus the two days that the stream below lasts.
EPOCH = 29_540_160 - 2 * DAY

PERSON = Person(
    role=Role.PATIENT,
    names=(PersonName(family="O^Testperson", given=("Ada", "Quill"), prefix="Dr"),),
    identifiers=(
        Identifier(value="4711", system="urn:oid:2.16.840.1.113883.19.5", type="MR"),
        Identifier(value="A|9", system="NORTH", type="AN"),
    ),
    phones=("+1-555-0100",),
    emails=("ada@example.org",),
    addresses=(PostalAddress(lines=("1 Example & Sons Way",), city="Testville", state="CA", postal_code="90001", country="US"),),
    birth_date="19610203",
    sex="F",
)
RECORD = PatientRecord(person=PERSON, epoch=EPOCH)

TEXT = (
    "Allergies: penicillin. Started amoxicillin 500 mg by mouth. Denies suicidal ideation. Mother had asthma. "
    "Pneumonia, possibly viral. No chest pain. Appendectomy in childhood. Potassium 4.1. Return if fever."
)


def clinical_message(number: int = 1, at: int = 2 * DAY, *, version: str = "hl7v2") -> Findings:
    """One message with something of each kind that is published."""
    rest = note(
        TEXT,
        ("penicillin", "medication", None),
        ("amoxicillin", "medication", None),
        ("500 mg", "dosage", None),
        ("by mouth", "route", None),
        ("suicidal ideation", "finding", Assertion(negated=True)),
        ("asthma", "problem", Assertion(family=True)),
        ("Pneumonia", "problem", Assertion(possible=True)),
        ("chest pain", "finding", Assertion(negated=True)),
        ("Appendectomy", "procedure", Assertion(historical=True)),
        ("Potassium", "test", None),
        ("4.1", "value", None),
        ("fever", "finding", Assertion(hypothetical=True)),
    )
    m = list(rest["mentions"])
    m[0] = msgspec.structs.replace(m[0], section="allergies")
    m[6] = msgspec.structs.replace(m[6], codes=(Coding(system="http://hl7.org/fhir/sid/icd-10-cm", code="J18.9"),))
    rest["mentions"] = tuple(m)
    rest["relations"] = (
        tied("medication-dosage", m[1], m[2]),
        tied("medication-route", m[1], m[3]),
        tied("test-value", m[9], m[10]),
    )
    return findings(number, at, creatinine("order-1/2160-0/", "1.9", at), sex="F", format=version, **rest)


def decided(message: Findings | None = None) -> Decision:
    """The message decided after an earlier creatinine of 1.0: an AKI flag and a drug-allergy flag."""
    decider, context = Decider(RuleSet.load()), PatientContext()
    _, context = decider.decide(findings(0, DAY, creatinine("order-0/2160-0/", "1.0", DAY)), context)
    return decider.decide(message or clinical_message(), context)[0]
