"""What FHIR R4 says about each element: its type, whether it repeats, what a reference may point to.

Default-deny de-identification and the readers walk by this table, never by element name alone (``name``, ``value``, ``date`` and
``contact`` have several types). Generated from fhir.resources R4B (``generate_definitions.py``); R4 and R4B differ only in
medication-definition, evidence and subscription resources, whose R4-only types are not known here and are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import msgspec

#: http://hl7.org/fhir/R4/datatypes.html#primitive
PRIMITIVES = frozenset(
    {
        "base64Binary", "boolean", "canonical", "code", "date", "dateTime", "decimal", "id", "instant", "integer", "markdown",
        "oid", "positiveInt", "string", "time", "unsignedInt", "uri", "url", "uuid", "xhtml",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a type.

    Attributes:
        type: FHIR type (``code``, ``HumanName``), the element's own type for backbone elements (``PatientContact``), or
            ``Resource`` where any resource may stand.
        required: at least one must be there; of a choice element: one of the choice must.
        choice: base name of a choice element: ``value`` for ``valueQuantity``, else empty.
        targets: resource types that a Reference may point to; empty means not said, ``Resource`` means any.
    """

    name: str
    type: str
    array: bool = False
    required: bool = False
    choice: str = ""
    targets: tuple[str, ...] = ()
    primitive: bool = False


@cache
def _document() -> dict[str, Any]:
    raw = Path(__file__).with_name("definitions.json").read_bytes()
    return cast("dict[str, Any]", msgspec.json.decode(raw))


@cache
def _resources() -> frozenset[str]:
    return frozenset(_document()["resources"])


def is_resource(name: object) -> bool:
    """Whether ``name`` is a resource type of FHIR R4 that this version reads."""
    return isinstance(name, str) and name in _resources()


def resource_names() -> tuple[str, ...]:
    """Every resource type that this version reads, in alphabetical order."""
    return tuple(sorted(_resources()))


def is_type(name: str) -> bool:
    return name in _document()["types"]


@cache
def elements(type_name: str) -> Mapping[str, Element]:
    """All elements of a type by JSON name, choice elements by their full name; empty for an unknown type.

    ``resourceType`` of resources and the ``_name`` companions of primitives are not listed; ``element`` knows both.
    """
    rows: dict[str, str] = _document()["types"].get(type_name, {})
    return MappingProxyType({name: _parse(name, row) for name, row in rows.items()})


@cache
def element(type_name: str, element_name: str) -> Element | None:
    """``None`` means that FHIR R4 knows no such element there.

    ``_birthDate`` and its like are of type ``Element`` (id and extensions of a primitive), repeating when the primitive does.
    """
    if element_name == "resourceType" and is_resource(type_name):
        return Element(element_name, "code", required=True, primitive=True)
    if element_name.startswith("_"):
        value = elements(type_name).get(element_name[1:])
        return Element(element_name, "Element", array=value.array) if value and value.primitive else None
    return elements(type_name).get(element_name)


def _parse(name: str, row: str) -> Element:
    row, _, targets = row.partition(">")
    row, _, choice = row.partition("?")
    type_name = row.rstrip("*!")
    return Element(
        name=name,
        type=type_name,
        array="*" in row,
        required="!" in row,
        choice=choice,
        targets=tuple(targets.split("|")) if targets else (),
        primitive=type_name in PRIMITIVES,
    )
