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
KINDS = {"Observation", "Condition", "AllergyIntolerance", "Procedure", "MedicationStatement"}
HEADED = {"DiagnosticReport", "Immunization", "ServiceRequest"}


def published(segments: str, *, path: str = "", kind: str = "ORU^R01") -> list[dict[str, Any]]:
    facts = tuple(timed.fact for timed in read_facts(parse((HEADER.replace("ORU^R01", kind) + segments).encode()))[0])
    if path:
        facts = tuple(msgspec.structs.replace(fact, path=path) for fact in facts)
    message = msgspec.structs.replace(findings(1, 0, **note("no mention here")), facts=facts, kind=kind)
    bundle = json.loads(render(Decision(id=message.id, findings=message)))
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] in KINDS | HEADED]


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
    assert {one["resourceType"] for one in found} == KINDS - {"Observation", "MedicationStatement"}
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


def test_an_order_that_nobody_encoded_stays() -> None:
    """One order's encoding does not hide another order of the message."""
    found = published("ORC|NW|1\rRXO|1^A^L|5||mg\rORC|NW|2\rRXO|2^B^L|5||mg\rRXE||2^B^L|5||mg\rORC|NW|3\rRXO|3^C^L|5||mg\r")
    assert [one["medicationCodeableConcept"]["text"] for one in found] == ["A", "B", "C"]


@pytest.mark.parametrize(("sent", "status"), [("CP", "completed"), ("RE", "not-taken"), ("", "unknown")])
def test_what_was_given(sent: str, status: str) -> None:
    (one,) = published(f"RXA|0|1|20260301|20260301|6809^Metformin^RXNORM|500|mg{'|' * 13}{sent}\r")
    assert (one["resourceType"], one["status"]) == ("MedicationStatement", status)


@pytest.mark.parametrize("control", ["RE", "NW", "CA"])
def test_what_was_given_has_a_status_of_its_own(control: str) -> None:
    """ORC-1 RE is "observations follow", RXA-20 RE is "refused": the one is not taken for the other."""
    (one,) = published(f"ORC|{control}|77\rRXA|0|1|20260301|20260301|6809^Metformin^RXNORM|500|mg\rRXR|PO^Oral^HL70162\r")
    assert one["status"] == ("entered-in-error" if control == "CA" else "unknown")
    assert one["dosage"][0]["route"]["text"] == "Oral"


VACCINE = "RXA|0|1|20260301|20260301|08^HepB^CVX|{amount}|mL||{notes}||||||||MSD^Merck^MVX|{refusal}||{status}|{action}\r"


def vaccine(**fields: str) -> dict[str, Any]:
    filled = {"amount": "1", "notes": "", "refusal": "", "status": "", "action": ""} | fields
    (one,) = published(
        "ORC|RE\r" + VACCINE.format(**filled) + "RXR|IM^Intramuscular^HL70162|LD^Left Deltoid^HL70163\r", kind="VXU^V04"
    )
    return one


def test_a_vaccine_is_an_immunization_and_no_medication_that_is_taken() -> None:
    """Vaccine, dose, route, site, maker; no date may be told here, so that words stand for it."""
    one = vaccine(status="CP", notes="01^Historical^NIP001")
    assert (one["resourceType"], one["status"], one["occurrenceString"]) == ("Immunization", "completed", "not told")
    assert one["vaccineCode"]["coding"] == [{"system": "http://hl7.org/fhir/sid/cvx", "code": "08", "display": "HepB"}]
    assert one["doseQuantity"] == {"value": 1, "unit": "mL", "system": "http://unitsofmeasure.org", "code": "mL"}
    assert (one["route"]["text"], one["site"]["text"]) == ("Intramuscular", "Left Deltoid")
    assert (one["manufacturer"]["display"], one["reportOrigin"]["text"]) == ("Merck", "Historical")
    assert all(label["code"] != "AIAST" for label in one["meta"]["security"])


@pytest.mark.parametrize(
    ("sent", "status"), [("", "completed"), ("CP", "completed"), ("PA", "completed"), ("RE", "not-done"), ("NA", "not-done")]
)
def test_whether_a_vaccine_was_given(sent: str, status: str) -> None:
    """By the guide's map of RXA-20; what was refused has no dose."""
    one = vaccine(status=sent, refusal="00^Parental decision^NIP002")
    assert (one["status"], "doseQuantity" in one) == (status, status == "completed")
    assert one["statusReason"]["text"] == "Parental decision"


def test_a_status_that_is_not_known_is_no_immunization() -> None:
    assert published(VACCINE.format(amount=1, notes="", refusal="", status="ZZ", action=""), kind="VXU^V04") == []


def test_a_deleted_or_missing_vaccine_is_never_completed() -> None:
    """RXA-21 D; CVX 998 says that none was given; an amount of 999 is not known."""
    assert vaccine(action="D")["status"] == "entered-in-error"
    assert "doseQuantity" not in vaccine(amount="999")
    (none,) = published("RXA|0|1|20260301||998^No vaccine administered^CVX|999\r", kind="VXU^V04")
    assert none["status"] == "not-done"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("F", "final"),
        ("P", "preliminary"),
        ("A", "partial"),
        ("C", "corrected"),
        ("X", "cancelled"),
        ("I", "registered"),
        ("", "unknown"),
    ],
)
def test_a_report_heads_its_results(sent: str, status: str) -> None:
    """The sender's panel with the sender's status; its results, and no other's, hang on it."""
    found = published(
        f"ORC|RE\rOBR|1||F1|24323-8^Panel^LN|||20260301{'|' * 18}{sent}\rOBX|1|NM|2823-3^Potassium^LN||4|mmol/L|||||F\r"
        "OBX|2|NM|2951-2^Sodium^LN||140|mmol/L|||||F\rSPM|1|||SER\rOBX|3|ST|1^Look^L||clear||||||F\r"
    )
    (report,) = [one for one in found if one["resourceType"] == "DiagnosticReport"]
    named = {f"urn:uuid:{one['id']}": one["code"]["text"] for one in found}
    assert (report["status"], report["code"]["text"]) == (status, "Panel")
    assert [named[row["reference"]] for row in report["result"]] == ["Potassium", "Sodium"]


def test_an_order_is_no_report_and_no_request() -> None:
    """An OBR without a result's status in an order message gives nothing that a server could act upon."""
    order = "ORC|NW|77\rOBR|1|77||24323-8^Panel^LN|||20260301{status}\r"
    assert published(order.format(status=""), kind="OML^O21") == published(order.format(status=""), kind="ORM^O01") == []
    (report,) = published(order.format(status="|" * 18 + "F"), kind="OML^O21")
    assert (report["resourceType"], "result" in report) == ("DiagnosticReport", False)


def test_a_result_to_come_is_registered() -> None:
    """OBX-11 I without a value; a value that is only empty says nothing."""
    (one,) = published("OBX|1|NM|2823-3^Potassium^LN||||||||I\r")
    assert (one["status"], [name for name in one if name.startswith("value")]) == ("registered", [])
    assert published("OBX|1|NM|2823-3^Potassium^LN||||||||F\r") == []


def test_several_numbers_and_ranges_keep_their_unit() -> None:
    """They are words in FHIR, not one number; method and body site are the sender's."""
    (one,) = published(f"OBX|1|NM|8867-4^Heart rate^LN||60~120|/min|||||F|{'|' * 5}AUTO^Automated^L|||ARM^Arm^L\r")
    assert one["valueString"] == "60, 120 /min"
    assert (one["method"]["text"], one["bodySite"]["text"]) == ("Automated", "Arm")
    assert published("OBX|1|SN|1^Titre^L||^1^:^128|mg|||||F\r")[0]["valueString"] == "1:128 mg"


@pytest.mark.parametrize(("sent", "criticality"), [("SV", "high"), ("MI^Mild", "low"), ("MO", None), ("", None)])
def test_how_bad_an_allergy_is(sent: str, criticality: str | None) -> None:
    """Severe and mild are told; moderate is neither of what FHIR can say."""
    assert published(f"AL1|1|DA|7980^Penicillin^RXNORM|{sent}|Hives\r")[0].get("criticality") == criticality


def test_a_unit_that_is_not_known_stays_words() -> None:
    assert published("OBX|1|NM|1^Thing^L||4|widgets|||||F\r")[0]["valueQuantity"] == {"value": 4, "unit": "widgets"}


def test_facts_of_fhir_are_not_published_again() -> None:
    assert published("OBX|1|NM|2823-3^K^LN||4|mmol/L|||||F\r", path="Bundle.entry[1].resource") == []
