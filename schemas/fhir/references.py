"""References and what they tell about whose record this is: the patients of a Bundle, and a Bundle split by patient."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from schemas.fhir.definitions import element, is_resource
from schemas.fhir.walk import resource_type, resources, walk

#: Elements by which a resource says whose it is (the R4 patient compartment's first parameter).
SUBJECTS = ("subject", "patient", "beneficiary", "for", "individual")

_LITERAL = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,128})(?:/_history/[A-Za-z0-9\-.]{1,128})?$")


@dataclass(frozen=True, slots=True)
class Target:
    """What a literal reference names: ``Patient`` and ``123``, or an id without a type (``urn:uuid:``)."""

    type: str
    id: str

    def __repr__(self) -> str:  # ids reach no log
        return f"<Target {self.type}>"


def target(reference: object) -> Target | None:
    """``Patient/1``, ``https://host/fhir/Patient/1/_history/2`` and ``urn:uuid:..``; ``None`` for ``#1`` and anything else."""
    if not isinstance(reference, str):
        return None
    if reference.startswith(("urn:uuid:", "urn:oid:")):
        return Target("", reference)
    match = _LITERAL.search(reference.split("?", 1)[0])
    if match is None or not is_resource(match.group(1)):
        return None
    return Target(match.group(1), match.group(2))


class Index:
    """The resources of one message by every name that a reference may use."""

    def __init__(self, resource: dict[str, Any]) -> None:
        self._by_name: dict[tuple[str, str], dict[str, Any]] = {}
        for entry in _entries(resource):
            inner = entry.get("resource")
            if not isinstance(inner, dict):
                continue
            if isinstance(url := entry.get("fullUrl"), str):
                self._by_name.setdefault(("", url), inner)
            self._add(inner)
        if resource.get("resourceType") != "Bundle":
            self._add(resource)

    def _add(self, resource: dict[str, Any]) -> None:
        kind, name = resource.get("resourceType"), resource.get("id")
        if isinstance(kind, str) and isinstance(name, str):
            self._by_name.setdefault((kind, name), resource)

    def resolve(self, reference: object, within: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """The resource that a ``Reference.reference`` names; ``#id`` among what ``within`` contains."""
        if not isinstance(reference, str):
            return None
        if reference.startswith("#"):
            contained = (within or {}).get("contained")
            for inner in contained if isinstance(contained, list) else ():
                if isinstance(inner, dict) and inner.get("id") == reference[1:]:
                    return inner
            return None
        if (found := self._by_name.get(("", reference))) is not None:
            return found
        named = target(reference)
        return self._by_name.get((named.type, named.id)) if named else None

    def type_of(self, reference: dict[str, Any], within: dict[str, Any] | None = None) -> str:
        """Resource type that a Reference object points to; empty when nothing in the message tells."""
        found = self.resolve(reference.get("reference"), within)
        if found is not None and is_resource(found.get("resourceType")):
            return str(found["resourceType"])
        named = target(reference.get("reference"))
        if named and named.type:
            return named.type
        said = reference.get("type")
        return said if isinstance(said, str) and is_resource(said) else ""


def subjects(resource: dict[str, Any]) -> list[dict[str, Any]]:
    """The Reference objects by which the resource says whose it is; may point to a Group, Device or Location too."""
    kind = resource_type(resource)
    for name in SUBJECTS:
        definition = element(kind, name)
        if definition is None or definition.type != "Reference" or (definition.targets and "Patient" not in definition.targets):
            continue
        value = resource.get(name)
        return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]
    return []


def patients_of(resource: dict[str, Any]) -> list[str]:
    """One key for each patient that the message is about, in order of appearance; references to one patient give one key.

    Keys hold identifiers and are only for comparison inside one message.
    """
    index = Index(resource)
    found: dict[str, None] = {}
    for _, inner in resources(resource):
        for key in _patient_keys(inner, index):
            found.setdefault(key)
    return list(found)


def split_by_patient(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    """One Bundle a patient, of the same type and id, each with the entries that its own entries refer to.

    A Bundle about one patient or none, and any other resource, comes back alone and unchanged. Entries about nobody that no
    patient's entry refers to form a Bundle of their own at the end; entries about several patients at once (a Group) go there too.
    """
    keys = patients_of(bundle)
    if bundle.get("resourceType") != "Bundle" or len(keys) < 2:
        return [bundle]
    index = Index(bundle)
    entries = _entries(bundle)
    owners = [_owner_of(entry, index) for entry in entries]
    shared = {id(e["resource"]): n for n, e in enumerate(entries) if not owners[n] and isinstance(e.get("resource"), dict)}
    taken: set[int] = set()
    parts: list[dict[str, Any]] = []
    for key in keys:
        own = [n for n, owner in enumerate(owners) if owner == {key}]
        needed = _reachable(own, entries, shared, index)
        taken.update(own, needed)
        chosen = sorted({*own, *needed})
        parts.append({**_frame(bundle), "entry": [entries[n] for n in chosen]})
    rest = [entry for n, entry in enumerate(entries) if n not in taken]
    if rest:
        parts.append({**_frame(bundle), "entry": rest})
    return parts


def _frame(bundle: dict[str, Any]) -> dict[str, Any]:
    """What is still true of a part: not the total, the paging links and the signature of the whole."""
    return {key: value for key, value in bundle.items() if key not in {"entry", "total", "link", "signature"}}


def _entries(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    entries = bundle.get("entry") if bundle.get("resourceType") == "Bundle" else None
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _owner_of(entry: dict[str, Any], index: Index) -> set[str]:
    inner = entry.get("resource")
    if not isinstance(inner, dict) or not isinstance(inner.get("resourceType"), str):
        return set()
    return {key for _, resource in resources(inner) for key in _patient_keys(resource, index)}


def _reachable(start: Iterable[int], entries: list[dict[str, Any]], shared: dict[int, int], index: Index) -> set[int]:
    found: set[int] = set()
    waiting = list(start)
    while waiting:
        inner = entries[waiting.pop()]["resource"]
        for node in walk(inner):
            if node.type == "Reference":
                other = index.resolve(node.value.get("reference"), inner)
                position = shared.get(id(other)) if other is not None else None
                if position is not None and position not in found:
                    found.add(position)
                    waiting.append(position)
    return found


def _patient_keys(resource: dict[str, Any], index: Index) -> list[str]:
    if not is_resource(resource.get("resourceType")):
        return []
    if resource["resourceType"] == "Patient":
        return [_key(resource)]
    keys: list[str] = []
    for reference in subjects(resource):
        literal = reference.get("reference")
        found = index.resolve(literal, resource)
        kind = index.type_of(reference, resource)
        if found is not None and kind == "Patient":
            keys.append(_key(found))
        elif kind in {"", "Patient"} and (named := target(literal)):
            keys.append(f"Patient/{named.id}" if named.type else named.id)
    return keys


def _key(patient: dict[str, Any]) -> str:
    name = patient.get("id")
    return f"Patient/{name}" if isinstance(name, str) else f"#{id(patient)}"
