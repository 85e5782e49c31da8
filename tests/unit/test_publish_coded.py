"""Coded facts of HL7 v2 messages as FHIR resources: from real segments to a Bundle that validates."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from agents.publish.bundle import render
from schemas.flags import Decision
from schemas.hl7.er7 import parse
from schemas.hl7.facts import read_facts
from tests.support.decide import findings, note

HEADER = "MSH|^~\\&|LAB|NORTH|||20260302||ORU^R01|1|P|2.5.1\r"
KINDS = {"Observation", "Condition", "AllergyIntolerance", "Procedure", "MedicationStatement", "DiagnosticReport", "Immunization"}


def published(segments: str, *, path: str = "", kind: str = "ORU^R01") -> list[dict[str, Any]]:
    facts = tuple(timed.fact for timed in read_facts(parse((HEADER + segments).encode()))[0])
    if path:
        facts = tuple(msgspec.structs.replace(fact, path=path) for fact in facts)
    message = msgspec.structs.replace(findings(1, 0, **note("no mention here")), facts=facts, kind=kind)
    bundle = json.loads(render(Decision(id=message.id, findings=message)))
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] in KINDS]


def test_a_measured_value() -> None:
    """Number, unit, range and flag stay; a final result stays final and is not labelled as made by a model."""
    (one,) = published("OBX|1|NM|2823-3^Potassium^LN||6.10|mmol/L|3.5-5.1|H|||F\r")
    assert one["status"] == "final"
    assert one["code"]["coding"][0] == {"system": "http://loinc.org", "code": "2823-3", "display": "Potassium"}
    assert one["valueQuantity"] == {"value": 6.10, "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"}
    assert one["referenceRange"] == [{"text": "3.5-5.1"}]
    assert one["interpretation"][0]["coding"][0]["code"] == "H"
    assert one["interpretation"][0]["coding"][0]["display"] == "High"
    assert all(label["code"] != "AIAST" for label in one["meta"]["security"])


@pytest.mark.parametrize(
    ("sent", "status"), [("P", "preliminary"), ("C", "corrected"), ("W", "entered-in-error"), ("?", "unknown")]
)
def test_the_senders_status(sent: str, status: str) -> None:
    assert published(f"OBX|1|NM|2823-3^Potassium^LN||4|mmol/L|||||{sent}\r")[0]["status"] == status


def test_problems_allergies_procedures() -> None:
    found = published(
        "AL1|1|DA|7980^Penicillin^RXNORM|SV|Hives\rDG1|1||I10^Hypertension^I10C|||A\r"
        "PR1|1||44950^Appendectomy^C4||20200101\rIAM|1|DA|7980^Penicillin^RXNORM|SV|Hives|D\r"
    )
    assert {one["resourceType"] for one in found} == {"AllergyIntolerance", "Condition", "Procedure"}
    withdrawn = [
        one for one in found if one.get("verificationStatus", {}).get("coding", [{}])[0].get("code") == "entered-in-error"
    ]
    assert [one["resourceType"] for one in withdrawn] == ["AllergyIntolerance"]


@pytest.mark.parametrize(
    ("control", "order_status", "status"),
    [("NW", "", "intended"), ("NW", "CM", "completed"), ("CA", "", "stopped"), ("HD", "HD", "on-hold"), ("ZZ", "", "unknown")],
)
def test_an_order_is_a_statement_and_never_an_order(control: str, order_status: str, status: str) -> None:
    """Nothing that a server could take for a prescription; the dose with its unit."""
    (one,) = published(f"ORC|{control}|77|||{order_status}\rRXE||6809^Metformin^RXNORM|500||mg\r")
    assert (one["resourceType"], one["status"]) == ("MedicationStatement", status)
    assert one["medicationCodeableConcept"]["coding"][0]["code"] == "6809"
    quantity = {"value": 500, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}
    assert one["dosage"] == [{"text": "500 mg", "doseAndRate": [{"doseQuantity": quantity}]}]


def test_an_order_and_its_encoding_are_one_statement() -> None:
    (one,) = published("ORC|NW|77\rRXO|6809^Metformin^RXNORM|500||mg\rRXE||6809^Metformin 500^RXNORM|500||mg\r")
    assert one["medicationCodeableConcept"]["text"] == "Metformin 500"


@pytest.mark.parametrize(("sent", "status"), [("CP", "completed"), ("RE", "not-taken"), ("", "unknown")])
def test_what_was_given(sent: str, status: str) -> None:
    (one,) = published(f"RXA|0|1|20260301|20260301|6809^Metformin^RXNORM|500|mg{'|' * 13}{sent}\r")
    assert (one["resourceType"], one["status"]) == ("MedicationStatement", status)


def test_a_vaccine_is_no_medication_that_is_taken() -> None:
    (one,) = published("RXA|0|1|20260301|20260301|08^HepB^CVX|1|mL\r", kind="VXU^V04")
    assert one["resourceType"] == "Immunization"


@pytest.mark.parametrize(("sent", "criticality"), [("SV", "high"), ("MI^Mild", "low"), ("MO", None), ("", None)])
def test_how_bad_an_allergy_is(sent: str, criticality: str | None) -> None:
    """Severe and mild are told; moderate is neither of what FHIR can say."""
    assert published(f"AL1|1|DA|7980^Penicillin^RXNORM|{sent}|Hives\r")[0].get("criticality") == criticality


def test_a_unit_that_is_not_known_stays_words() -> None:
    assert published("OBX|1|NM|1^Thing^L||4|widgets|||||F\r")[0]["valueQuantity"] == {"value": 4, "unit": "widgets"}


def test_facts_of_fhir_are_not_published_again() -> None:
    assert published("OBX|1|NM|2823-3^K^LN||4|mmol/L|||||F\r", path="Bundle.entry[1].resource") == []


@pytest.mark.parametrize(
    ("sent", "expected"), [("CP", "completed"), ("PA", "completed"), ("RE", "not-done"), ("NA", "not-done"), ("", "completed")]
)
def test_vaccinations(sent: str, expected: str) -> None:
    """Vaccine, dose and status; where no date may be told, R4's other choice says so."""
    (one,) = published(f"RXA|0|1|20260301|20260301|08^HepB^CVX|1|mL{'|' * 13}{sent}\r", kind="VXU^V04")
    assert (one["resourceType"], one["status"], one["occurrenceString"]) == ("Immunization", expected, "not told")
    assert one["vaccineCode"]["coding"] == [{"system": "http://hl7.org/fhir/sid/cvx", "code": "08", "display": "HepB"}]
    assert one["doseQuantity"] == {"value": 1, "unit": "mL", "system": "http://unitsofmeasure.org", "code": "mL"}


def test_no_vaccine_is_none() -> None:
    """CVX 998 stands where a message only carries observations."""
    assert published("RXA|0|1|20260301|20260301|998^no vaccine administered^CVX|999\r", kind="VXU^V04") == []


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("F", "final"),
        ("P", "preliminary"),
        ("C", "corrected"),
        ("X", "cancelled"),
        ("A", "partial"),
        ("S", "registered"),
        ("", "unknown"),
    ],
)
def test_a_report_with_its_results(sent: str, expected: str) -> None:
    """Each Observation belongs to the report that it stands under."""
    segments = (
        f"OBR|1|P1|F1|24323-8^Metabolic panel^LN|||20260301{'|' * 18}{sent}\r"
        "OBX|1|NM|2823-3^Potassium^LN||4.0|mmol/L|||||F\rOBX|2|NM|2951-2^Sodium^LN||140|mmol/L|||||F\r"
        "OBR|2|P2|F2|4548-4^HbA1c^LN\rOBX|1|NM|4548-4^HbA1c^LN||6.1|%|||||F\r"
    )
    found = published(segments)
    first, second = (r for r in found if r["resourceType"] == "DiagnosticReport")
    names = {f"urn:uuid:{r['id']}": r["code"]["coding"][0]["code"] for r in found if r["resourceType"] == "Observation"}
    assert first["status"] == expected
    assert first["code"]["coding"][0]["code"] == "24323-8"
    assert [names[r["reference"]] for r in first["result"]] == ["2823-3", "2951-2"]
    assert [names[r["reference"]] for r in second["result"]] == ["4548-4"]


def test_an_order_is_not_a_report_and_never_a_request() -> None:
    """What a sender asks of another is not asked again by us."""
    header = HEADER.replace("ORU^R01", "ORM^O01")
    facts = read_facts(parse((header + "ORC|NW|P1\rOBR|1|P1||71045^Chest X-ray^C4\r").encode()))[0]
    assert facts == []
