"""Whose record a Bundle is, and Bundles split by patient."""

from __future__ import annotations

from typing import Any

from schemas.fhir.references import Index, Target, patients_of, split_by_patient, target


def observation(name: str, patient: str, **rest: Any) -> dict[str, Any]:
    return {"resource": {"resourceType": "Observation", "id": name, "subject": {"reference": patient}, **rest}}


def bundle(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "id": "b", "type": "collection", "total": 9, "entry": list(entries)}


def ids(part: dict[str, Any]) -> list[str]:
    return [entry["resource"]["id"] for entry in part["entry"]]


def test_literal_references_are_read_in_all_their_forms() -> None:
    """Relative, absolute and versioned references name the same target; fragments and queries name none."""
    assert target("Patient/1") == target("https://host/fhir/Patient/1/_history/2") == Target("Patient", "1")
    assert target("urn:uuid:x") == Target("", "urn:uuid:x")
    assert [target(text) for text in ("#p", "Patient?identifier=1", "Nope/1", "", None, 3)] == [None] * 6


def test_a_target_prints_no_id() -> None:
    """Ids of patients reach no log."""
    assert "secret" not in repr(target("Patient/secret"))


def test_contained_and_bundled_resources_are_resolved() -> None:
    """``#id`` looks in the containing resource, everything else among the entries."""
    medication = {"resourceType": "Medication", "id": "m"}
    request = {"resourceType": "MedicationRequest", "contained": [medication]}
    whole = bundle({"fullUrl": "urn:uuid:1", "resource": request})
    assert Index(whole).resolve("#m", request) is medication
    assert Index(whole).resolve("urn:uuid:1") is request
    assert Index(whole).resolve("Patient/none") is None


def test_one_patient_comes_back_unchanged() -> None:
    """The Bundle itself, not a copy, when there is nothing to split."""
    whole = bundle(observation("o1", "Patient/1"), observation("o2", "Patient/1"))
    assert split_by_patient(whole) == [whole]
    assert split_by_patient(whole)[0] is whole


def test_several_patients_are_split_with_what_they_refer_to() -> None:
    """Each part holds its own entries and the shared ones that they need, directly or by a chain."""
    whole = bundle(
        {"fullUrl": "urn:uuid:p1", "resource": {"resourceType": "Patient", "id": "1"}},
        {"resource": {"resourceType": "Patient", "id": "2"}},
        {"resource": {"resourceType": "PractitionerRole", "id": "role", "organization": {"reference": "Organization/org"}}},
        {"resource": {"resourceType": "Organization", "id": "org"}},
        {"resource": {"resourceType": "Location", "id": "nobody"}},
        observation("o1", "urn:uuid:p1", performer=[{"reference": "PractitionerRole/role"}]),
        observation("o2", "Patient/2"),
    )
    parts = split_by_patient(whole)
    assert [ids(part) for part in parts] == [["1", "role", "org", "o1"], ["2", "o2"], ["nobody"]]
    assert all(len(patients_of(part)) <= 1 for part in parts)
    assert all("total" not in part and part["type"] == "collection" for part in parts)


def test_nothing_is_lost_in_splitting() -> None:
    """Every entry is in at least one part, entries without a resource too."""
    whole = bundle(
        {"request": {"method": "DELETE", "url": "Observation/9"}}, observation("o1", "Patient/1"), observation("o2", "Patient/2")
    )
    kept = [entry for part in split_by_patient(whole) for entry in part["entry"]]
    assert all(entry in kept for entry in whole["entry"])


def test_subjects_that_are_no_patients_do_not_count() -> None:
    """Groups, devices and locations may be subjects without making a patient."""
    assert patients_of(bundle(observation("o1", "Group/1"), observation("o2", "Device/2"))) == []
