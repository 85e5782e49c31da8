"""FHIR R4, element by element: a new resource is built from what the policy lets through, by datatype and path; default deny."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from agents.deidentify.policy import Policy
from agents.deidentify.pseudonyms import Tokens
from agents.deidentify.text.known import Known
from agents.deidentify.text.scrub import Scrubber
from agents.deidentify.when import OLDEST, age_years, minutes, year
from schemas.clinical import Note
from schemas.fhir.definitions import Element, element, is_resource
from schemas.fhir.references import target
from schemas.fhir.walk import resources
from schemas.ids import NAMESPACE

#: http://hl7.org/fhir/R4/extension-data-absent-reason.html: a required value that had to go is marked, so that the resource stays valid.
MASKED = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}
#: http://terminology.hl7.org/CodeSystem/v3-ObservationValue: says that the resource is pseudonymised.
LABEL = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "PSEUDED"}
SYSTEM = "urn:x-pseud:default"
BASE = "https://pseudonymous.invalid/fhir"
#: Stands at a leaf until the clean text of its note is written there; never leaves this package.
PLACEHOLDER = "-"

_SAFE_CODE = re.compile(r"[^\s]+(?: [^\s]+)*")
#: Shorter values identify nobody.
_SHORTEST = 4
_REQUEST = re.compile(r"([A-Z][A-Za-z]+)(?:/([A-Za-z0-9.-]{1,64}))?")
Value = Any


@dataclass(slots=True)
class Outcome:
    """``paths``: original path of each note leaf -> its path in the clean resource; ``times`` by clean path."""

    resource: dict[str, Any]
    paths: dict[str, str] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    redacted: Counter[str] = field(default_factory=Counter)
    received: int | None = None
    age_years: int | None = None


def deidentify(
    resource: dict[str, Any],
    policy: Policy,
    scrubber: Scrubber,
    known: Known,
    pseudonyms: Tokens,
    notes: tuple[Note, ...],
    made: str,
) -> Outcome:
    """A clean copy. ``made`` is the message's own time as written; leaves of ``notes`` hold a placeholder, the caller writes them."""
    walk = _Walk(policy, scrubber, known, pseudonyms, notes)
    birth = next((r.get("birthDate") for _, r in resources(resource) if r.get("resourceType") == "Patient"), None)
    age = age_years(birth, made) if isinstance(birth, str) and made else None
    walk.too_old = age is not None and age > OLDEST
    kind = str(resource["resourceType"])
    walk.outcome.resource = walk.resource(resource, kind, kind)
    walk.outcome.age_years = None if age is None else min(age, OLDEST + 1)
    at = minutes(made)
    walk.outcome.received = None if at is None else at - pseudonyms.epoch
    return walk.outcome


@dataclass(slots=True)
class _Place:
    """Where a value stands: its element, the type that holds it, original and clean path, and the name that is counted."""

    definition: Element
    parent_type: str
    path: str
    clean: str
    name: str


class _Walk:
    def __init__(self, policy: Policy, scrubber: Scrubber, known: Known, pseudonyms: Tokens, notes: tuple[Note, ...]) -> None:
        self.policy, self.scrubber, self.known, self.pseudonyms = policy, scrubber, known, pseudonyms
        self.covered = {part.path for note in notes for part in note.parts}
        self.outcome = Outcome({})
        self.too_old = False

    def resource(self, source: dict[str, Any], path: str, clean: str) -> dict[str, Any]:
        kind = str(source.get("resourceType"))
        made = {"resourceType": kind, **self.object(source, kind, path, clean, kind, is_root=True)}
        if kind != "Bundle":
            meta = made.setdefault("meta", {})
            meta["security"] = [*meta.get("security", []), LABEL]
        return made

    def object(
        self, source: dict[str, Any], type_name: str, path: str, clean: str, name: str, *, is_root: bool = False
    ) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in source.items():
            if key == "resourceType" or value is None:
                continue
            definition = element(type_name, key)
            if definition is None or key.startswith("_") or (key == "id" and not is_root):
                self._count(f"{name}.{key if definition else '???'}")
                continue
            place = _Place(definition, type_name, f"{path}.{key}", f"{clean}.{key}", f"{name}.{key}")
            kept = self._element(value, place)
            if kept is not None:
                made[key] = kept
                continue
            self._count(place.name)
            if definition.required:
                mark: dict[str, Any] = {"extension": [MASKED]}
                made[f"_{key}" if definition.primitive else key] = [mark] if definition.array else mark
        return made

    def _element(self, value: Value, place: _Place) -> Value | None:
        if not isinstance(value, list):
            return self._value(value, place)
        kept: list[Value] = []
        path, clean = place.path, place.clean
        for ordinal, item in enumerate(value):
            if item is None:
                continue
            here = _Place(place.definition, place.parent_type, f"{path}[{ordinal}]", f"{clean}[{len(kept)}]", place.name)
            if (new := self._value(item, here)) is not None:
                kept.append(new)
        return kept or None

    def _value(self, value: Value, place: _Place) -> Value | None:
        kind = place.definition.type
        key = place.definition.name
        covered = place.path in self.covered
        if kind == "Resource":
            known = isinstance(value, dict) and is_resource(value.get("resourceType"))
            return self.resource(value, place.path, place.clean) if known else None
        if place.definition.primitive == isinstance(value, dict | list):
            return None  # an object where a primitive belongs, or the reverse
        if kind == "Narrative":
            return self._narrative(value, place)
        if covered:
            self.outcome.paths[place.path] = place.clean
            return PLACEHOLDER
        method = self.policy.paths.get((place.parent_type, key)) or self.policy.types.get(kind)
        if method is None:
            method = "redact" if place.definition.primitive else "recurse"
        if method in {"redact", "drop"}:
            return None
        return METHODS[method](self, value, place)

    def _narrative(self, value: dict[str, Any], place: _Place) -> Value | None:
        """Kept only where it was read as a note; then it is rebuilt from the clean text."""
        path = f"{place.path}.div"
        if path not in self.covered:
            return None
        self.outcome.paths[path] = f"{place.clean}.div"
        return {"status": "additional", "div": PLACEHOLDER}

    def _count(self, name: str) -> None:
        self.outcome.redacted[name] += 1

    # --- methods ------------------------------------------------------------------------------------------------------

    def keep(self, value: Value, place: _Place) -> Value | None:
        """Unless it holds something that the resource says of a person."""
        if isinstance(value, str):
            free = _SAFE_CODE.fullmatch(value) and (len(value) < _SHORTEST or next(self.known.find(value), None) is None)
            return value if free else None
        return value

    def recurse(self, value: Value, place: _Place) -> Value | None:
        return self.object(value, place.definition.type, place.path, place.clean, place.name) or None

    def token(self, value: Value, place: _Place) -> Value | None:
        return self.pseudonyms.of(str(value)) or None

    def year(self, value: Value, place: _Place) -> Value | None:
        if (at := minutes(str(value))) is not None:
            self.outcome.times[place.clean] = at - self.pseudonyms.epoch
        return year(str(value)) or None

    def birth_year(self, value: Value, place: _Place) -> Value | None:
        return None if self.too_old else year(str(value)) or None

    def scrub(self, value: Value, place: _Place) -> Value | None:
        return self.scrubber.short(str(value), self.known) if isinstance(value, str) else value

    def address(self, value: Value, place: _Place) -> Value | None:
        kept = {key: value[key] for key in ("use", "type", "state", "country") if isinstance(value.get(key), str)}
        if zip3 := self.policy.zip3(str(value.get("postalCode", ""))):
            kept["postalCode"] = zip3
        return kept or None

    def identifier(self, value: Value, place: _Place) -> Value | None:
        number = self.pseudonyms.of(str(value.get("value", "")), str(value.get("system", "")))
        if not number:
            return None
        kept: dict[str, Any] = {"system": SYSTEM, "value": number}
        if isinstance(value.get("use"), str):
            kept["use"] = value["use"]
        if isinstance(value.get("type"), dict):
            kind = self.object(
                value["type"], "CodeableConcept", f"{place.path}.type", f"{place.clean}.type", f"{place.name}.type"
            )
            if kind:
                kept["type"] = kind
        return kept

    def reference(self, value: Value, place: _Place) -> Value | None:
        kept: dict[str, Any] = {}
        literal = value.get("reference")
        if isinstance(literal, str) and (new := self._literal(literal)):
            kept["reference"] = new
        if is_resource(value.get("type")):
            kept["type"] = value["type"]
        if isinstance(value.get("identifier"), dict) and (number := self.identifier(value["identifier"], place)):
            kept["identifier"] = number
        return kept or None

    def _literal(self, literal: str) -> str:
        if literal.startswith("#"):
            token = self.pseudonyms.of(literal[1:])
            return f"#{token}" if token else ""
        named = target(literal)
        token = self.pseudonyms.of(named.id, f"fhir:{named.type}") if named else ""
        if named is None or not token:
            return ""
        return f"{named.type}/{token}" if named.type else _urn(token)

    def full_url(self, value: Value, place: _Place) -> Value | None:
        named = target(str(value))
        token = self.pseudonyms.of(named.id, f"fhir:{named.type}") if named else ""
        if named is None or not token:
            return None
        return f"{BASE}/{named.type}/{token}" if named.type else _urn(token)

    def request_url(self, value: Value, place: _Place) -> Value | None:
        """``Patient`` and ``Patient/1``; a search (conditional create) is cut to its type."""
        match = _REQUEST.match(str(value))
        if match is None or not is_resource(match[1]):
            return "Basic"
        token = self.pseudonyms.of(match[2], f"fhir:{match[1]}") if match[2] else ""
        return f"{match[1]}/{token}" if token else match[1]

    def extension(self, value: Value, place: _Place) -> Value | None:
        url = value.get("url")
        if not isinstance(url, str) or url not in self.policy.extensions | self.policy.extension_text:
            return None
        kept: dict[str, Any] = {"url": url}
        for key, inner in value.items():
            definition = element("Extension", key)
            if key in {"url", "id"} or definition is None or key.startswith("_") or inner is None:
                continue
            here = _Place(definition, "Extension", f"{place.path}.{key}", f"{place.clean}.{key}", f"{place.name}.{key}")
            if key == "valueString":
                new = self.scrub(inner, here) if url in self.policy.extension_text else None
            else:
                new = self._element(inner, here)
            if new is not None:
                kept[key] = new
        return kept if len(kept) > 1 else None

    def attachment(self, value: Value, place: _Place) -> Value | None:
        """Opened and read as a note: rebuilt as text by the caller. Anything else is withheld."""
        path = f"{place.path}.data"
        if path not in self.covered:
            return None
        self.outcome.paths[path] = f"{place.clean}.data"
        kept: dict[str, Any] = {"contentType": "text/plain", "data": PLACEHOLDER}
        if isinstance(value.get("language"), str):
            kept["language"] = value["language"]
        return kept

    def age(self, value: Value, place: _Place) -> Value | None:
        made = self.recurse(value, place)
        number = made.get("value") if isinstance(made, dict) else None
        if isinstance(number, int | float | Decimal) and number > OLDEST and isinstance(made, dict):
            made["value"] = OLDEST + 1
        return made


def _urn(token: str) -> str:
    """A valid ``urn:uuid`` that depends on the random token alone."""
    return f"urn:uuid:{uuid.uuid5(NAMESPACE, token)}"


METHODS: dict[str, Callable[[_Walk, Value, _Place], Value | None]] = {
    "keep": _Walk.keep,
    "recurse": _Walk.recurse,
    "token": _Walk.token,
    "year": _Walk.year,
    "birth_year": _Walk.birth_year,
    "scrub": _Walk.scrub,
    "address": _Walk.address,
    "identifier": _Walk.identifier,
    "reference": _Walk.reference,
    "extension": _Walk.extension,
    "attachment": _Walk.attachment,
    "age": _Walk.age,
    "full_url": _Walk.full_url,
    "request_url": _Walk.request_url,
}
