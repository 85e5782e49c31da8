"""Validation for the egress: what other systems would refuse is not published."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.errors import MalformedMessage, Reason
from schemas.fhir.codes import CODES, CONCEPTS
from schemas.fhir.definitions import element, is_type
from schemas.fhir.json import decode
from schemas.fhir.validate import validate

GOOD: dict[str, Any] = decode(
    b"""{"resourceType":"Observation","id":"o1","status":"preliminary","code":{"text":"K"},
    "valueQuantity":{"value":1.00,"unit":"mmol/L"},"effectiveDateTime":"2024"}"""
)
CONDITION_SYSTEM = "http://terminology.hl7.org/CodeSystem/condition-clinical"


def test_a_good_resource_passes() -> None:
    """Years as dates and exact decimals are valid, alone and in a Bundle."""
    validate(GOOD)
    validate({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": GOOD}]})


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"status": "CANARY"}, "Observation.status"),
        ({"id": "CANARY" * 20}, "Observation.id"),
        ({"id": "CANARY_x"}, "Observation.id"),
        ({"CANARY": 1}, "Observation.???"),
        ({"effectiveDateTime": "CANARY"}, "Observation.effectiveDateTime"),
        ({"valueString": "CANARY"}, "Observation"),
        ({"valueQuantity": {"value": "CANARY"}}, "Observation.valueQuantity.value"),
        ({"code": "CANARY"}, "Observation.code"),
        ({"component": [{"code": {"text": "x"}, "CANARY": 2}]}, "Observation.component[0].???"),
        ({"text": {"status": "CANARY", "div": "<div>x</div>"}}, "Observation.text.status"),
    ],
)
def test_a_fault_is_told_by_path_and_never_by_value(change: dict[str, Any], path: str) -> None:
    """Structure, unknown elements, required codes and ids are checked; the error holds no content."""
    with pytest.raises(MalformedMessage) as caught:
        validate({**GOOD, **change})
    assert caught.value.reason is Reason.OUTPUT_INVALID
    assert caught.value.path is not None
    assert caught.value.path.startswith(path)
    assert "CANARY" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_required_concepts_need_their_own_code_system() -> None:
    """A clinical status of another system is as wrong as a wrong code."""
    condition = {"resourceType": "Condition", "subject": {"reference": "Patient/1"}, "code": {"text": "x"}}
    validate({**condition, "clinicalStatus": {"coding": [{"system": CONDITION_SYSTEM, "code": "active"}]}})
    for system, code in ((CONDITION_SYSTEM, "bogus"), ("urn:other", "active")):
        with pytest.raises(MalformedMessage):
            validate({**condition, "clinicalStatus": {"coding": [{"system": system, "code": code}]}})


def test_an_unknown_resource_is_refused() -> None:
    """No resource type, no validation."""
    for kind in (None, "Nope", 3, "HumanName"):
        with pytest.raises(MalformedMessage):
            validate({"resourceType": kind})


def test_the_code_table_names_real_elements() -> None:
    """A row for an element that does not exist would check nothing."""
    for type_name, name in [*CODES, *CONCEPTS]:
        assert is_type(type_name)
        assert element(type_name, name) is not None, (type_name, name)
