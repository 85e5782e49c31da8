"""What stands where a FHIR element must be and may not say its value: ``data-absent-reason`` ``masked``, never nothing.

The rule (http://hl7.org/fhir/R4/extensibility.html#Special-Case, http://hl7.org/fhir/extension-data-absent-reason.html):

- a primitive leaves its companion (``_recorded``) with the extension;
- an object is the extension and whatever its type requires, masked in the same way at every depth (a ``Signature`` has a type, a time
  and a signer);
- of a choice (``value[x]``) that must be there an object keeps its type; a primitive becomes ``"[REDACTED]"`` where the choice has a
  string, else the choice's first object type, because validators that look for a value do not take a companion for one.

- where an invariant asks for one of several elements (a contact's name, telecom, address or organization) and none is left, one of those
  that went is masked.

What is not required goes whole, its holder too when nothing else is in it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from schemas.fhir.definitions import Element, elements

Object = dict[str, Any]

MASKED: Object = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}]}
REDACTED = "[REDACTED]"


#: Invariants that ask for one of several elements, http://hl7.org/fhir/R4/: pat-1, org-1, app-1, cmp-1. The first can always be masked.
ONE_OF: dict[str, tuple[str, ...]] = {
    "PatientContact": ("name", "telecom", "address", "organization"),
    "Organization": ("name", "identifier"),
    "AppointmentParticipant": ("actor", "type"),
    "CompositionSection": ("entry", "text", "section"),
}


def mask_one_of(holder: Object, kind: str, gone: list[str]) -> None:
    """Mask one of the elements of which ``kind`` must have one, if ``gone`` were all that it had."""
    group = ONE_OF[kind]
    if any(key in holder or f"_{key}" in holder for key in group) or not any(key in group for key in gone):
        return
    key = next((key for key in gone if key in group and elements(kind)[key].type != "Narrative"), group[0])
    mask_element(holder, kind, key, elements(kind)[key])


def mask_element(holder: Object, kind: str, key: str, definition: Element) -> None:
    """Put the mask of element ``key`` into ``holder``, an object of type ``kind`` that has no value of the element."""
    if definition.choice and definition.required:
        key, definition = _stand_in(kind, key, definition)
    if definition.choice and definition.type == "string":
        holder[key] = REDACTED
    elif definition.primitive:
        if definition.array:  # a companion lines up with its values
            holder[key] = [None]
        holder[f"_{key}"] = [MASKED] if definition.array else MASKED
    elif definition.type != "Resource":
        value = masked_object(definition.type)
        holder[key] = [value] if definition.array else value


def masked_object(kind: str) -> Object:
    """A valid object of a datatype or backbone type that says nothing. No type requires itself at any depth."""
    made = dict(MASKED)
    for key, definition in _required(kind):
        mask_element(made, kind, key, definition)
    return made


@cache
def _required(kind: str) -> tuple[tuple[str, Element], ...]:
    """Required elements, of a choice its first."""
    by_base: dict[str, tuple[str, Element]] = {}
    for key, definition in elements(kind).items():
        if definition.required:
            by_base.setdefault(definition.choice or key, (key, definition))
    return tuple(by_base.values())


@cache
def _stand_in(kind: str, key: str, definition: Element) -> tuple[str, Element]:
    """The element of the same choice that can be there without saying anything."""
    if not definition.primitive or definition.type == "string":
        return key, definition
    choice = [(name, found) for name, found in elements(kind).items() if found.choice == definition.choice]
    strings = [row for row in choice if row[1].type == "string"]
    objects = [row for row in choice if not row[1].primitive]
    return (strings + objects)[0]
