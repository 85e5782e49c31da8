"""Everybody and every number that a FHIR resource or Bundle names (45 CFR 164.514(b)(2)(i)).

The reader goes by datatype over all defined elements and extensions, contained and Bundle resources included; the resource only
decides whose identifier it is. Elements that FHIR does not define have no types and are not read: they never leave
de-identification.
"""

from __future__ import annotations

from typing import Any

from schemas.errors import Reason, UnsupportedContent
from schemas.fhir.references import Index, patients_of, subjects, target
from schemas.fhir.walk import Node, resource_type, resources, walk
from schemas.identity import Identifier, MessageIdentity, PersonDraft, PersonName, PostalAddress, Role, unique

_ROLES = {
    "Patient": Role.PATIENT,
    "Person": Role.OTHER,
    "RelatedPerson": Role.RELATIVE,
    "Practitioner": Role.PRACTITIONER,
    "PractitionerRole": Role.PRACTITIONER,
}
_PERSONS = frozenset(_ROLES)
_ORGANIZATIONS = frozenset({"Organization", "Location", "HealthcareService", "CareTeam", "Endpoint"})

#: Elements of type string that name somebody, as (type, element).
_NAME_STRINGS = {("Annotation", "authorString"), ("ContactDetail", "name")}
_ORGANIZATION_STRINGS = {
    ("Organization", "name"),
    ("Organization", "alias"),
    ("Location", "name"),
    ("Location", "alias"),
    ("HealthcareService", "name"),
    ("CareTeam", "name"),
    ("Endpoint", "name"),
}
#: Numbers that FHIR types as plain strings -> table 0203 type.
_NUMBER_STRINGS = {
    ("Coverage", "subscriberId"): "MB",
    ("Coverage", "dependent"): "MB",
    ("CoverageClass", "value"): "GRP",
    ("Device", "serialNumber"): "SERIAL",
    ("Device", "lotNumber"): "LOT",
    ("Device", "distinctIdentifier"): "SERIAL",
    ("DeviceUdiCarrier", "carrierHRF"): "SERIAL",
    ("DeviceUdiCarrier", "deviceIdentifier"): "SERIAL",
    ("MedicationBatch", "lotNumber"): "LOT",
    ("Immunization", "lotNumber"): "LOT",
    ("ClaimRelated", "claim"): "",
}
#: http://hl7.org/fhir/R4/patient-extensions.html: names that stand in extensions.
_MOTHERS_NAME = "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName"


def read_identity(resource: dict[str, Any]) -> MessageIdentity:
    """Every identifier of the resource or Bundle, as written.

    The patient's identifiers begin with the business identifiers, then come the logical ids (system ``fhir:Patient``) by which
    this message refers to the patient. Ids of other resources are ``numbers`` with the system ``fhir:<type>``.

    Raises:
        UnsupportedContent: a Bundle about several patients (see ``references.split_by_patient``).
    """
    if resource.get("resourceType") == "Bundle" and len(patients_of(resource)) > 1:
        raise UnsupportedContent(Reason.UNSUPPORTED_RESOURCE, path="Bundle", detail="more than one patient")
    reader = _Reader(resource)
    reader.read()
    return reader.identity()


class _Reader:
    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._index = Index(root)
        self._patient = PersonDraft(Role.PATIENT)
        self._logical: list[Identifier] = []
        self._others: list[PersonDraft] = []
        self._numbers: list[Identifier] = []
        self._organizations: list[str] = []
        self._encounter: Identifier | None = None

    def identity(self) -> MessageIdentity:
        # a urn:uuid only lives in its message; what other messages use comes first
        self._patient.identifiers += sorted(self._logical, key=lambda found: found.value.startswith("urn:"))
        return MessageIdentity(
            patient=self._patient.person() if self._patient.says_something() else None,
            others=unique([draft.person() for draft in self._others if draft.says_something()]),
            encounter=self._encounter,
            numbers=unique(self._numbers),
            organizations=unique(self._organizations),
        )

    def read(self) -> None:
        if self._root.get("resourceType") == "Bundle":
            self._read_frame(self._root)
        for _, resource in resources(self._root):
            self._read_resource(resource)

    def _read_frame(self, bundle: dict[str, Any]) -> None:
        """The Bundle's own elements, without the resources in it."""
        entries = bundle.get("entry")
        for entry in entries if isinstance(entries, list) else ():
            inner = entry.get("resource") if isinstance(entry, dict) else None
            kind = inner.get("resourceType") if isinstance(inner, dict) else None
            named = target(entry.get("fullUrl")) if isinstance(entry, dict) else None
            if named:
                self._logical_id(kind if isinstance(kind, str) else named.type, named.id)
            if isinstance(inner, dict) and kind == "Bundle":
                self._read_frame(inner)
        for key in ("id", "identifier"):
            value = bundle.get(key)
            if isinstance(value, str):
                self._logical_id("Bundle", value)
            elif isinstance(value, dict):
                self._numbers += _identifier(value)

    def _read_resource(self, resource: dict[str, Any]) -> None:
        kind = resource_type(resource)
        subject_ids = {id(reference) for reference in subjects(resource)}
        owner = self._owner(kind)
        if isinstance(name := resource.get("id"), str):
            self._logical_id(kind, name)
        if kind == "Encounter" and isinstance(name, str):
            self._encounter = self._encounter or Identifier(value=name, system="fhir:Encounter")
        owners: list[tuple[str, PersonDraft]] = [("", owner)]
        for node in walk(resource, kind):
            while not _inside(node.path, owners[-1][0]):
                owners.pop()
            if node.definition is None and node.type:  # a contained resource
                owners.append((node.path, self._owner(node.type)))
                subject_ids |= {id(reference) for reference in subjects(node.value)}
                if isinstance(name := node.value.get("id"), str):
                    self._logical_id(node.type, name)
            elif node.type == "PatientContact":
                owners.append((node.path, self._other(Role.RELATIVE)))
            elif node.type == "Reference":
                self._read_reference(node, resource, is_subject=id(node.value) in subject_ids)
            else:
                self._read_value(node, owners[-1][1])

    def _owner(self, kind: str) -> PersonDraft:
        return self._patient if kind == "Patient" else self._other(_ROLES.get(kind, Role.OTHER))

    def _other(self, role: Role) -> PersonDraft:
        draft = PersonDraft(role)
        self._others.append(draft)
        return draft

    def _logical_id(self, kind: str, value: str) -> None:
        found = Identifier(value=value, system=f"fhir:{kind}" if kind else "")
        (self._logical if kind == "Patient" else self._numbers).append(found)

    def _read_value(self, node: Node, owner: PersonDraft) -> None:
        place = (node.parent_type, node.name.rpartition(".")[2])
        if node.type == "HumanName":
            owner.names += _human_name(node.value)
        elif node.type == "Address":
            owner.addresses += _address(node.value)
        elif node.type == "ContactPoint":
            _read_contact(node.value, owner)
        elif node.type == "Identifier":
            if node.parent_type == "Reference":
                return  # read with its reference
            personal = node.parent_type in _PERSONS
            (owner.identifiers if personal else self._numbers).extend(_identifier(node.value))
        elif node.type == "Extension" and node.value.get("url") == _MOTHERS_NAME:
            if text := _text(node.value, "valueString"):
                self._other(Role.RELATIVE).names.append(PersonName(family=text))
        elif isinstance(node.value, str) and node.value:
            self._read_string(node, place, owner)

    def _read_string(self, node: Node, place: tuple[str, str], owner: PersonDraft) -> None:
        if place in _NAME_STRINGS:
            self._other(Role.OTHER).names.append(PersonName(text=node.value))
        elif place in _ORGANIZATION_STRINGS:
            self._organizations.append(node.value)
        elif place in _NUMBER_STRINGS:
            self._numbers.append(Identifier(value=node.value, type=_NUMBER_STRINGS[place]))
        elif place[1] == "birthDate" and place[0] in _PERSONS:
            owner.birth_date = owner.birth_date or node.value
        elif place[1] == "gender" and place[0] in _PERSONS:
            owner.sex = owner.sex or node.value

    def _read_reference(self, node: Node, within: dict[str, Any], *, is_subject: bool) -> None:
        """Literal id, logical identifier and display of a reference go to whoever it points to."""
        reference: dict[str, Any] = node.value
        kind = self._index.type_of(reference, within)
        if not kind and is_subject:
            kind = "Patient"
        named = target(reference.get("reference"))
        if named:
            self._logical_id(kind or named.type, named.id)
            if kind == "Encounter" and self._encounter is None:
                self._encounter = Identifier(value=named.id, system="fhir:Encounter")
        name = _text(reference, "display")
        numbers = _identifier(reference["identifier"]) if isinstance(reference.get("identifier"), dict) else []
        if kind == "Patient" and is_subject:
            self._patient.names += [PersonName(text=name)] if name else []
            self._patient.identifiers += numbers
            return
        self._numbers += numbers
        targets = {kind} if kind else set(node.definition.targets if node.definition else ())
        if not name:
            return
        if targets & _PERSONS:
            self._other(_ROLES.get(kind, Role.OTHER)).names.append(PersonName(text=name))
        elif targets & _ORGANIZATIONS:
            self._organizations.append(name)


def _inside(path: str, owner: str) -> bool:
    return not owner or path.startswith(f"{owner}.")


def _text(value: dict[str, Any], key: str) -> str:
    found = value.get(key)
    return found.strip() if isinstance(found, str) else ""


def _texts(value: dict[str, Any], key: str) -> tuple[str, ...]:
    found = value.get(key)
    items = found if isinstance(found, list) else [found]
    return tuple(item.strip() for item in items if isinstance(item, str) and item.strip())


def _human_name(value: dict[str, Any]) -> list[PersonName]:
    name = PersonName(
        family=_text(value, "family"),
        given=_texts(value, "given"),
        prefix=" ".join(_texts(value, "prefix")),
        suffix=" ".join(_texts(value, "suffix")),
        text=_text(value, "text"),
    )
    return [name] if name.family or name.given or name.text else []


def _identifier(value: dict[str, Any]) -> list[Identifier]:
    """Its type is the first coding of ``Identifier.type`` that has a code."""
    text = _text(value, "value")
    kind = value.get("type")
    codings = kind.get("coding") if isinstance(kind, dict) else None
    codes = [_text(coding, "code") for coding in codings if isinstance(coding, dict)] if isinstance(codings, list) else []
    return [Identifier(value=text, system=_text(value, "system"), type=next(filter(None, codes), ""))] if text else []


def _address(value: dict[str, Any]) -> list[PostalAddress]:
    lines = [*_texts(value, "line"), _text(value, "district")]
    if not lines[0] and (text := _text(value, "text")):
        lines = text.splitlines()
    address = PostalAddress(
        lines=tuple(line for line in lines if line),
        city=_text(value, "city"),
        state=_text(value, "state"),
        postal_code=_text(value, "postalCode"),
        country=_text(value, "country"),
    )
    return [address] if address.lines or address.city or address.postal_code else []


def _read_contact(value: dict[str, Any], owner: PersonDraft) -> None:
    text = _text(value, "value")
    if "@" in text:
        owner.emails.append(text)
    elif any(char.isdigit() for char in text) and value.get("system") not in {"url"}:
        owner.phones.append(text)
