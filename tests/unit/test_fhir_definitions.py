"""The element table."""

from __future__ import annotations

import pytest

from schemas.fhir import definitions
from schemas.fhir.definitions import element, elements, is_resource, is_type


@pytest.mark.parametrize(
    ("type_name", "name", "expected", "array"),
    [
        ("Observation", "valueQuantity", "Quantity", False),
        ("Observation", "note", "Annotation", True),
        ("Patient", "contact", "PatientContact", True),
        ("PatientContact", "name", "HumanName", False),
        ("HumanName", "given", "string", True),
        ("Narrative", "div", "xhtml", False),
        ("Attachment", "data", "base64Binary", False),
        ("BundleEntry", "resource", "Resource", False),
        ("Extension", "valueHumanName", "HumanName", False),
        ("Patient", "_birthDate", "Element", False),
        ("HumanName", "_given", "Element", True),
        ("Element", "extension", "Extension", True),
        ("Patient", "resourceType", "code", False),
    ],
)
def test_elements_have_their_fhir_type(type_name: str, name: str, expected: str, array: bool) -> None:
    """Backbone elements, choices, companions of primitives and the inherited elements are all there."""
    found = element(type_name, name)
    assert found is not None
    assert (found.type, found.array) == (expected, array)


@pytest.mark.parametrize(
    ("type_name", "name"),
    [("Patient", "ssn"), ("Observation", "value"), ("Patient", "_name"), ("Nobody", "id"), ("HumanName", "resourceType"),
     ("Patient", "fhir_comments")],
)  # fmt: skip
def test_what_fhir_does_not_define_is_none(type_name: str, name: str) -> None:
    """Default deny rests on this answer."""
    assert element(type_name, name) is None


def test_every_type_that_an_element_names_is_known() -> None:
    """A walk over the table never comes to an unknown type."""
    names = {found.type for type_name in definitions._document()["types"] for found in elements(type_name).values()}
    assert {name for name in names if name not in definitions.PRIMITIVES and not is_type(name)} == set()


def test_choices_and_targets_are_told() -> None:
    """A choice element knows its base, a reference what it may point to."""
    value, subject = element("Observation", "valueString"), element("Immunization", "patient")
    assert value is not None
    assert subject is not None
    assert value.choice == "value"
    assert subject.targets == ("Patient",)
    assert subject.required


def test_abstract_and_foreign_types_are_no_resources() -> None:
    """Only concrete R4 resources may stand in ``resourceType``."""
    assert is_resource("Observation")
    assert not any(map(is_resource, ("DomainResource", "Resource", "HumanName", "ProcessRequest", "", None, 3)))
