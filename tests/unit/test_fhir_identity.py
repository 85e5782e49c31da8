"""Who and what a FHIR message names; the values here are invented for these tests."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schemas.errors import UnsupportedContent
from schemas.fhir.identity import read_identity
from schemas.identity import Identifier, MessageIdentity, PersonName, PostalAddress, Role

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p-77",
    "identifier": [
        {"type": {"coding": [{"code": "MR"}]}, "system": "urn:oid:1.2.3", "value": "MRN-1001"},
        {"system": "http://hl7.org/fhir/sid/us-ssn", "value": "999-55-1111"},
    ],
    "name": [{"family": "Quill", "given": ["Jonas", "P"], "prefix": ["Dr"]}, {"text": "Quilly Jo"}],
    "telecom": [
        {"system": "phone", "value": "(555) 010-1234"},
        {"system": "email", "value": "jonas@example.org"},
    ],
    "gender": "male",
    "birthDate": "1950-01-02",
    "address": [{"line": ["12 Elm Row", "Flat 2"], "city": "Barton", "state": "OH", "postalCode": "44123"}],
    "contact": [{"name": {"family": "Quill", "given": ["Mira"]}, "telecom": [{"system": "phone", "value": "555 010 4321"}]}],
    "generalPractitioner": [{"display": "Dr. Rosa Hale", "reference": "Practitioner/d-1"}],
    "managingOrganization": {"display": "Northgate Clinic"},
    "extension": [
        {"url": "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName", "valueString": "Marsh"},
        {
            "url": "http://hl7.org/fhir/StructureDefinition/patient-birthPlace",
            "valueAddress": {"city": "Akron", "state": "OH"},
        },
    ],
    "contained": [{"resourceType": "RelatedPerson", "id": "r1", "name": [{"text": "Gil Quill"}], "patient": {"reference": "#p"}}],
}


def names(identity: MessageIdentity) -> set[str]:
    return {
        name.text or " ".join((*name.given, name.family)).strip()
        for person in (identity.patient, *identity.others)
        if person
        for name in person.names
    }


def test_a_patient_is_read_whole() -> None:
    """Names, numbers, contacts, addresses and extensions of the patient are the patient's."""
    patient = read_identity(PATIENT).patient
    assert patient is not None
    assert patient.role is Role.PATIENT
    assert patient.names[0] == PersonName(family="Quill", given=("Jonas", "P"), prefix="Dr")
    assert patient.identifiers == (
        Identifier(value="MRN-1001", system="urn:oid:1.2.3", type="MR"),
        Identifier(value="999-55-1111", system="http://hl7.org/fhir/sid/us-ssn"),
        Identifier(value="p-77", system="fhir:Patient"),
    )
    assert patient.phones == ("(555) 010-1234",)
    assert patient.emails == ("jonas@example.org",)
    assert PostalAddress(lines=("12 Elm Row", "Flat 2"), city="Barton", state="OH", postal_code="44123") in patient.addresses
    assert any(address.city == "Akron" for address in patient.addresses)
    assert (patient.birth_date, patient.sex) == ("1950-01-02", "male")


def test_relatives_contacts_and_practitioners_are_others() -> None:
    """Contact, contained RelatedPerson, mother's maiden name and a practitioner's display are found with their roles."""
    found = {(person.role, name.text or name.family) for person in read_identity(PATIENT).others for name in person.names}
    assert found == {
        (Role.RELATIVE, "Quill"),
        (Role.RELATIVE, "Gil Quill"),
        (Role.RELATIVE, "Marsh"),
        (Role.PRACTITIONER, "Dr. Rosa Hale"),
    }
    contact = next(person for person in read_identity(PATIENT).others if person.phones)
    assert contact.phones == ("555 010 4321",)


def test_organizations_are_read_from_names_and_displays() -> None:
    """A display that can only be an organization's is one."""
    assert read_identity(PATIENT).organizations == ("Northgate Clinic",)
    assert read_identity({"resourceType": "Organization", "name": "H1", "alias": ["H-One"]}).organizations == ("H1", "H-One")


def test_a_resource_names_its_patient_by_reference() -> None:
    """Literal id, logical identifier and display of the subject are the patient's; the rest are numbers."""
    identity = read_identity(
        {
            "resourceType": "Observation",
            "id": "o-1",
            "identifier": [{"value": "ACC-5"}],
            "subject": {
                "reference": "https://ehr.example/fhir/Patient/p-77/_history/3",
                "display": "Jonas Quill",
                "identifier": {"value": "MRN-1001"},
            },
            "encounter": {"reference": "Encounter/e-9"},
            "performer": [{"display": "Ian Stone"}],
            "note": [{"authorString": "Olga Ober", "text": "x"}],
            "device": {"identifier": {"value": "DEV-3"}},
        }
    )
    assert identity.patient is not None
    assert [found.value for found in identity.patient.identifiers] == ["MRN-1001", "p-77"]
    assert identity.encounter == Identifier(value="e-9", system="fhir:Encounter")
    assert {found.value for found in identity.numbers} == {"o-1", "ACC-5", "e-9", "DEV-3"}
    assert names(identity) == {"Jonas Quill", "Ian Stone", "Olga Ober"}


def test_numbers_typed_as_strings_are_found() -> None:
    """Subscriber ids, serial numbers and UDI carriers are identifiers although FHIR types them as strings."""
    coverage = {"resourceType": "Coverage", "status": "active", "subscriberId": "SUB-1", "class": [{"value": "GRP-8"}]}
    device = {
        "resourceType": "Device",
        "serialNumber": "SN-1",
        "udiCarrier": [{"carrierHRF": "(01)123"}],
        "distinctIdentifier": "D-1",
    }
    assert {found.value for found in read_identity(coverage).numbers} == {"SUB-1", "GRP-8"}
    assert {found.value for found in read_identity(device).numbers} == {"SN-1", "(01)123", "D-1"}


def test_a_bundle_has_one_patient_whatever_the_references_are_called() -> None:
    """A urn:uuid, the logical id and the resource mean the same patient."""
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "identifier": {"value": "B-1"},
        "entry": [
            {"fullUrl": "urn:uuid:aaa", "resource": PATIENT},
            {
                "resource": {
                    "resourceType": "Condition",
                    "id": "c1",
                    "subject": {"reference": "urn:uuid:aaa", "display": "J. Quill"},
                }
            },
            {"resource": {"resourceType": "Condition", "id": "c2", "subject": {"reference": "Patient/p-77"}}},
        ],
    }
    identity = read_identity(bundle)
    assert identity.patient is not None
    assert [found.value for found in identity.patient.identifiers] == ["MRN-1001", "999-55-1111", "p-77", "urn:uuid:aaa"]
    assert "J. Quill" in {name.text for name in identity.patient.names}
    assert {"B-1", "c1", "c2"} <= {found.value for found in identity.numbers}


def test_a_bundle_about_two_patients_is_refused() -> None:
    """Two people never get one token."""
    bundle = {
        "resourceType": "Bundle",
        "entry": [
            {"resource": {"resourceType": "Condition", "subject": {"reference": "Patient/1"}}},
            {"resource": {"resourceType": "Condition", "subject": {"reference": "Patient/2"}}},
        ],
    }
    with pytest.raises(UnsupportedContent):
        read_identity(bundle)


def test_a_message_without_people_has_no_patient() -> None:
    """A group or device as subject makes no patient."""
    assert read_identity({"resourceType": "Observation", "subject": {"reference": "Device/3"}}).patient is None


def test_broken_shapes_are_passed_over() -> None:
    """Wrong JSON types in known elements raise nothing."""
    broken: dict[str, Any] = {
        "resourceType": "Patient",
        "id": 3,
        "name": "Quill",
        "telecom": [None, 4, {"value": 7}],
        "address": {"line": "12 Elm Row", "city": ["x"]},
        "identifier": [[{"value": "x"}], {"value": {"a": 1}, "type": []}],
        "contact": [None, []],
        "contained": [3, {"resourceType": "Nope"}],
        "birthDate": 1950,
    }
    patient = read_identity(broken).patient
    assert patient is not None
    assert patient.addresses == (PostalAddress(lines=("12 Elm Row",)),)


def test_the_identity_shows_nothing_when_printed() -> None:
    """A stray log line prints no value."""
    text = f"{read_identity(PATIENT)!r}{read_identity(PATIENT)}"
    values = msgspec.json.encode(read_identity(PATIENT)).decode()
    assert "Quill" in values
    assert "Quill" not in text
