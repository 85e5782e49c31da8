"""Pseudonyms of sender and department: the same for the same, of nobody's name, empty where the message does not say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agents.deidentify.sender import Sender, read_sender
from schemas.envelope import FHIR_JSON, HL7_V2
from schemas.message import parse
from tests.support.deid import ADT, ORU, bundle, clean, clean_fhir, patient_resource


def of_hl7(head: str, visit: str = "") -> Sender:
    return read_sender(parse(HL7_V2, f"MSH|^~\\&|{head}|EHR|X|2024||ORU^R01|1|P|2.5.1\r{visit}".encode()))


def of_fhir(*resources: dict[str, Any]) -> Sender:
    return read_sender(
        parse(FHIR_JSON, json.dumps({"resourceType": "Bundle", "entry": [{"resource": r} for r in resources]}).encode())
    )


def encounter(**changes: Any) -> dict[str, Any]:
    return {"resourceType": "Encounter", "id": "e1", "status": "finished", "class": {"code": "AMB"}, **changes}


def test_messages_of_one_sender_and_ward_share_pseudonyms() -> None:
    """Whatever their type; the names are in neither map."""
    one, other = clean(ADT).map, clean(ORU).map
    assert (one.sender, one.department) == (other.sender, other.department)
    assert len({one.sender, one.department}) == 2
    assert b"NORTHGATE" not in one.encode()
    assert b"W2" not in one.encode()


def test_another_house_or_service_is_another_pseudonym() -> None:
    """One application in two houses is two senders."""
    base = clean(ORU).map
    assert clean(ORU.replace(b"|LAB|NORTHGATE|", b"|LAB|SOUTHGATE|")).map.sender != base.sender
    assert clean(ORU.replace(b"|W2^201", b"|W3^201")).map.department != base.department
    assert clean(ORU.replace(b"|W2^201", b"|W2^202")).map.department == base.department


@pytest.mark.parametrize(
    ("visit", "department"),
    [
        ("PV1|1|I|W2^201^1|||||||MED\r", "service\x1fMED"),
        ("PV1|1|I|W2^201^1\r", "ward\x1fW2"),
        ('PV1|1|I|W2|||||||""\r', "ward\x1fW2"),
        ("PV1|1|I\r", ""),
        ("", ""),
    ],
)
def test_the_service_comes_before_the_ward(visit: str, department: str) -> None:
    """PV1-10, else PV1-3; no bed, no room."""
    assert of_hl7("LAB|H", visit).department == department


def test_an_application_known_by_its_universal_id_alone() -> None:
    """MSH-3.2 where MSH-3.1 is empty; a head that names nobody has no sender."""
    assert of_hl7("^1.2.3^ISO|H").name == "1.2.3\x1fH"
    assert of_hl7("|").name == ""


@pytest.mark.parametrize(
    ("resources", "name"),
    [
        ([{"resourceType": "MessageHeader", "source": {"endpoint": "https://lab.example.org"}}], "https://lab.example.org"),
        ([encounter(meta={"source": "urn:oid:1.2#msg-77"})], "urn:oid:1.2"),
        ([encounter(serviceProvider={"reference": "Organization/o1"})], "Organization/o1"),
        ([encounter(serviceProvider={"reference": "urn:uuid:1", "display": "Northgate"})], "Northgate"),
        ([encounter(serviceProvider={"identifier": {"system": "s", "value": "7"}})], "s\x1f7"),
        ([{"resourceType": "DocumentReference", "custodian": {"reference": "Organization/o2"}}], "Organization/o2"),
        ([patient_resource(), encounter(contained=[{"resourceType": "Organization", "meta": {"source": "urn:x"}}])], ""),
    ],
    ids=["header", "meta without its fragment", "provider", "display for a local reference", "identifier", "custodian", "nobody"],
)
def test_who_sent_a_fhir_message(resources: list[dict[str, Any]], name: str) -> None:
    """The best statement that there is."""
    assert of_fhir(*resources).name == name


@pytest.mark.parametrize(
    ("changes", "department"),
    [
        ({"serviceType": {"coding": [{"system": "http://s", "code": "57"}]}}, "service\x1fhttp://s\x1f57"),
        ({"serviceType": {"text": "Cardiology"}}, "service\x1fCardiology"),
        ({"location": [{"location": {"reference": "Location/w2"}}]}, "ward\x1fLocation/w2"),
        ({}, ""),
    ],
)
def test_the_department_of_a_fhir_encounter(changes: dict[str, Any], department: str) -> None:
    """Service type, else place."""
    assert of_fhir(patient_resource(), encounter(**changes)).department == department


def test_a_fhir_message_carries_no_source_in_clear() -> None:
    """Its map has pseudonyms, its body nothing."""
    result = clean_fhir(bundle(patient_resource(), encounter(meta={"source": "https://northgate.example.org/feed#1"})))
    assert result.map.sender
    assert b"northgate" not in result.payload + result.map.encode()


def test_it_prints_blind() -> None:
    """Names stand in no log."""
    assert "NORTHGATE" not in repr(Sender("NORTHGATE"))
