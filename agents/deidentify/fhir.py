"""A FHIR resource without identifiers: every value judged by the type that FHIR gives its element, unknown elements dropped.

A required element that must go leaves a mask behind (``agents.deidentify.masked``), so that the output stays valid; a dropped instant or
choice does so even where it is optional: the one because its path carries a time in the map, the other to say that there was a value.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agents.deidentify import clock
from agents.deidentify.masked import MASKED, ONE_OF, mask_element, mask_one_of
from agents.deidentify.notes import Guesses, Scrubbed
from agents.deidentify.policy import FhirPolicy
from agents.deidentify.replacements import CITY, ZIP, Replacements, mask
from agents.deidentify.requests import TokenRequests, date_mark
from agents.deidentify.text.known import Known
from agents.deidentify.text.scrub import find, find_coded, replace
from agents.deidentify.text.spans import NAME
from agents.deidentify.zip_codes import state, zip3
from agents.vault.contract import Kind
from schemas.errors import Reason, UnsupportedContent
from schemas.fhir.definitions import Element, element, is_resource
from schemas.fhir.references import Index, target
from schemas.ids import NAMESPACE

Object = dict[str, Any]

_LABELS = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
_TERM = re.compile(r"[\w.+\-/%#*:=<>\[\]()|^{}',&]{1,80}")
_COUNTRY = re.compile(r"[A-Za-z]{2,3}")
_LINK_ID = re.compile(r"[\w./-]{1,64}")
_ORDINAL = re.compile(r"\[(\d+)\]")
_MONTH = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])")
_VERSION = re.compile(r"\d{1,6}")
#: Where a type or element has no place of its own in the policy, backbone elements are taken apart.
_RECURSE = "recurse"


class _Drop:
    """Takes the value out."""


class _Marked(str):
    """A value that holds the mark of a token."""


DROP = _Drop()


@dataclass(slots=True)
class FhirResult:
    """``fills``: (holder, key) of values that hold marks; ``times``: original path -> minutes since 1970; ``moved``: original path of
    an array's item -> its new ordinal."""

    redacted: Counter[str] = field(default_factory=Counter)
    times: dict[str, int] = field(default_factory=dict)
    fills: list[tuple[Object, str]] = field(default_factory=list)
    moved: dict[str, int] = field(default_factory=dict)

    def clean_path(self, path: str) -> str:
        """Where what stood at ``path`` of the original stands now: items before it may be gone."""
        if not self.moved:
            return path
        return _ORDINAL.sub(lambda match: f"[{self.moved.get(path[: match.end()], int(match[1]))}]", path)


class FhirRewriter:
    """Made from a policy once; ``rewrite`` may run in several threads."""

    def __init__(self, policy: FhirPolicy, system: str, replacements: Replacements) -> None:
        self._policy = policy
        self._system = system
        self._replacements = replacements

    def rewrite(
        self, root: Object, scrubbed: Scrubbed, requests: TokenRequests, known: Known, guesses: Guesses, oldest_year: int
    ) -> tuple[Object, FhirResult]:
        """A new resource; ``root``'s notes are clean already (``scrubbed``).

        Raises:
            UnsupportedContent: a modifier extension, which changes the meaning of what it stands in and may not be ignored.
        """
        work = _Pass(root, self._policy, self._system, scrubbed, requests, known, guesses, oldest_year, self._replacements)
        clean = work.resource(root, str(root["resourceType"]))
        return clean, work.result


class _Pass:
    def __init__(
        self,
        root: Object,
        policy: FhirPolicy,
        system: str,
        scrubbed: Scrubbed,
        requests: TokenRequests,
        known: Known,
        guesses: Guesses,
        oldest_year: int,
        replacements: Replacements,
    ) -> None:
        self._replacements = replacements
        self.result = FhirResult()
        self._index = Index(root)
        self._policy = policy
        self._system = system
        self._scrubbed = scrubbed
        self._requests = requests
        self._known = known
        self._guesses = guesses
        self._oldest_year = oldest_year
        self._within: Object = root
        self._contained: dict[str, str] = {}
        self._inside = False
        self._memo: dict[str, str] = {}

    def resource(self, resource: Object, path: str, *, contained: bool = False) -> Object:
        """One resource with everything in it."""
        kind = str(resource["resourceType"])
        outer = (self._within, self._contained, self._inside)
        self._inside = contained
        if not contained:
            self._within, self._contained = resource, self._local_ids(resource)
        clean = self._object(resource, kind, path, kind)
        label = {"system": _LABELS, "code": self._policy.security_label}
        if not contained:
            meta = clean.setdefault("meta", {})
            meta["security"] = [*meta.get("security", ()), label]
        self._within, self._contained, self._inside = outer
        return clean

    @staticmethod
    def _local_ids(resource: Object) -> dict[str, str]:
        """Ids of contained resources are names that senders choose: numbered instead."""
        inner = resource.get("contained")
        names = [item.get("id") for item in inner if isinstance(item, dict)] if isinstance(inner, list) else []
        return {name: f"c{number}" for number, name in enumerate(names, 1) if isinstance(name, str)}

    def _object(self, value: Object, kind: str, path: str, name: str) -> Object:
        """All elements of one object of type ``kind``; ``name`` is the path without ordinals from the innermost resource."""
        if value.get("modifierExtension"):
            raise UnsupportedContent(Reason.UNSUPPORTED_RESOURCE, path=f"{name}.modifierExtension")
        clean: Object = {}
        gone: list[tuple[str, Element]] = []
        for key, child in value.items():
            if key == "resourceType" and is_resource(kind):  # ``kind`` itself; anywhere else an element like others, or unknown
                clean[key] = kind
                continue
            definition = element(kind, key)
            if definition is None or key.startswith("_"):
                self._companion(value, kind, key, name, clean, gone)
                continue
            where = f"{name}.{key}"
            new = self._element(child, definition, kind, f"{path}.{key}", where)
            if new is DROP:
                self.result.redacted[where] += 1
                gone.append((key, definition))
            else:
                clean[key] = new
                if new != child:
                    self.result.redacted[where] += 1
                self._note_fill(clean, key, new)
        for key, definition in gone:
            if definition.required or definition.choice or definition.type == "instant":
                mask_element(clean, kind, key, definition)
        if clean and gone and kind in ONE_OF:
            mask_one_of(clean, kind, [key for key, _ in gone])
        return clean

    def _companion(self, value: Object, kind: str, key: str, name: str, clean: Object, gone: list[tuple[str, Element]]) -> None:
        """An unknown element, or id and extensions of a primitive: nothing of them stays but a mask, and a mask instead of the
        reason why a required value is not there."""
        base = element(kind, key[1:]) if key.startswith("_") else None
        if base is None or key[1:] in value:
            if base is None or value[key] != MASKED:
                self.result.redacted[f"{name}.{key}" if base is not None else f"{name}.???"] += 1
        elif value[key] == MASKED:
            clean[key] = value[key]
        else:
            self.result.redacted[f"{name}.{key}"] += 1
            if base.required:
                gone.append((key[1:], base))

    def _note_fill(self, clean: Object, key: str, new: Any) -> None:
        if isinstance(new, _Marked):
            self.result.fills.append((clean, key))

    def _element(self, value: Any, definition: Element, kind: str, path: str, name: str) -> Any:
        """A value or an array of values; ``DROP`` when nothing of it may stay."""
        if not isinstance(value, list):
            return DROP if value is None else self._value(value, definition, kind, path, name)
        kept: list[Any] = []
        for ordinal, item in enumerate(value):
            new = self._value(item, definition, kind, f"{path}[{ordinal}]", name)
            if new is not DROP:
                if len(kept) != ordinal:
                    self.result.moved[f"{path}[{ordinal}]"] = len(kept)
                kept.append(new)
        return kept or DROP

    def _value(self, value: Any, definition: Element, kind: str, path: str, name: str) -> Any:
        type_name = definition.type
        if definition.primitive != (not isinstance(value, dict)) or isinstance(value, list) or value is None:
            return DROP  # an object where a value belongs, or the reverse
        if type_name == "Resource":
            known = isinstance(value.get("resourceType"), str) and is_resource(value["resourceType"])
            return self.resource(value, path, contained=name.endswith(".contained")) if known else DROP
        _, method = self._policy.rule(kind, name, type_name)
        if isinstance(method, str):
            if method == _RECURSE and isinstance(value, dict):
                return self._taken_apart(value, type_name, path, name)
            if method == "extension":
                return value if self._extension_stays(value) else DROP
            return self._apply(method, value, type_name, path, name)
        if not isinstance(value, dict) or (type_name == "Narrative" and f"{path}.div" not in self._scrubbed.handled):
            return DROP
        clean = self._by_element(value, dict(method), type_name, path, name)
        return clean or DROP

    def _taken_apart(self, value: Object, type_name: str, path: str, name: str) -> Any:
        if type_name in self._policy.types and not isinstance(self._policy.types[type_name], str):
            return self._by_element(value, dict(self._policy.types[type_name]), type_name, path, name) or DROP  # type: ignore[arg-type]
        if self._policy.types.get(type_name) == "redact":
            return DROP
        return self._object(value, type_name, path, name) or DROP

    def _by_element(self, value: Object, methods: dict[str, str], type_name: str, path: str, name: str) -> Object:
        """An object of a datatype whose elements the policy lists."""
        if value.get("modifierExtension"):
            raise UnsupportedContent(Reason.UNSUPPORTED_RESOURCE, path=f"{name}.modifierExtension")
        if type_name == "Quantity" and self._is_age(value, path):
            methods = {**methods, "value": "age"}
        if type_name == "Coding" and _is_bare_number(value):
            methods = {**methods, "code": "redact"}
        clean: Object = {}
        gone: list[tuple[str, Element]] = []
        for key, child in value.items():
            definition = element(type_name, key)
            if definition is None or key.startswith("_"):
                self._companion(value, type_name, key, name, clean, gone)
                continue
            where = f"{name}.{key}"
            method = methods.get(key)
            new = DROP if method is None else self._listed(child, definition, method, f"{path}.{key}", where)
            if new is DROP:
                self.result.redacted[where] += 1
                gone.append((key, definition))
            else:
                clean[key] = new
                if new != child:
                    self.result.redacted[where] += 1
                self._note_fill(clean, key, new)
        for key, definition in gone:
            if definition.required:
                mask_element(clean, type_name, key, definition)
        return clean

    def _listed(self, child: Any, definition: Element, method: str, path: str, name: str) -> Any:
        if isinstance(child, list):
            kept = [
                new
                for n, item in enumerate(child)
                if item is not None and (new := self._listed(item, definition, method, f"{path}[{n}]", name)) is not DROP
            ]
            return kept or DROP
        if method == _RECURSE:
            return self._taken_apart(child, definition.type, path, name) if isinstance(child, dict) else DROP
        if isinstance(child, dict) or child is None:
            return DROP
        return self._apply(method, child, definition.type, path, name)

    def _is_age(self, value: Object, path: str) -> bool:
        return (
            path.endswith("valueQuantity")
            and self._within.get("resourceType") == "Observation"
            and any(
                isinstance(coding, dict) and coding.get("code") in self._policy.ages
                for coding in (self._within.get("code") or {}).get("coding") or ()
            )
        )

    def _extension_stays(self, value: Any) -> bool:
        url = value.get("url") if isinstance(value, dict) else None
        return isinstance(url, str) and url in self._policy.extensions and not self._known_anywhere(value)

    def _known_anywhere(self, value: Any) -> bool:
        if isinstance(value, dict):
            return any(self._known_anywhere(child) for child in value.values())
        if isinstance(value, list):
            return any(self._known_anywhere(child) for child in value)
        return isinstance(value, str) and not value.startswith("http://hl7.org/") and self._known.touches(value)

    # the methods: a value in, a value or DROP out

    def _apply(self, method: str, value: Any, type_name: str, path: str, name: str) -> Any:
        if method == "redact":
            return DROP
        if method == "keep":
            return value
        if method == "note":
            return value if path in self._scrubbed.handled else DROP
        if method in ("scrub", "deep_display", "display"):
            return self._text(value, path, display=method != "scrub") if isinstance(value, str) else DROP
        if method in ("year", "drop_instant", "shift", "date"):
            return self._time(value, method, type_name, path, name)
        if method == "age" and not self._replacements.caps_ages:
            return value if isinstance(value, int) or hasattr(value, "adjusted") else DROP
        if method == "age":
            return min(value, clock.OLDEST_AGE + 1) if isinstance(value, int) or hasattr(value, "adjusted") else DROP
        if not isinstance(value, str):
            return DROP
        return _METHODS[method](self, value, name)

    def _text(self, value: str, path: str, *, display: bool) -> Any:
        if path in self._scrubbed.handled:
            return value
        if display:
            found = self._memo.get(value)
            if found is None:
                redactions = find_coded(value, self._known)
                found = self._memo[value] = replace(value, redactions) if redactions else value
            return found or DROP
        redactions = find(value, self._known, self._guesses.get(value, ()), oldest_year=self._oldest_year)
        redactions = self._replacements(value, redactions, self._oldest_year, self._requests.surrogates)
        if redactions:
            self._scrubbed.leaves[path] = redactions
        return replace(value, redactions) if redactions else value

    def _time(self, value: Any, method: str, type_name: str, path: str, name: str) -> Any:
        if not isinstance(value, str):
            return DROP
        minutes = clock.minutes_of(value)
        if minutes is not None and not name.endswith("irthDate"):
            self.result.times[path] = minutes
        year = clock.year_of(value)
        if method == "drop_instant" or year is None or year <= self._oldest_year:
            return DROP
        if method != "year" and (found := clock.day_of(value)) is not None:
            if type_name == "instant" and not found[1]:
                return DROP
            return date_mark(found[0]) + found[1] if method == "shift" else value
        if method == "date" and _MONTH.fullmatch(value):
            return value
        return DROP if type_name == "instant" else str(year)

    def _term(self, value: str, name: str) -> Any:
        if not _TERM.fullmatch(value):
            return self._text(value, name, display=True)
        return DROP if self._known.touches(value) else value

    def _token(self, value: str, name: str) -> str:
        return _Marked(self._requests.mark(Kind.NUMBER, value))

    def _pseudonym_system(self, value: str, name: str) -> str:
        return self._system

    def _resource_id(self, value: str, name: str) -> Any:
        holder = name.rpartition(".")[0]
        if not is_resource(holder):
            return DROP  # ids of elements
        if self._inside:
            return self._contained.get(value, DROP)
        return _Marked(self._id_mark(holder, value))

    def _id_mark(self, kind: str, value: str) -> str:
        if kind in ("Patient", "") and (mark := self._requests.patient_mark(value)) is not None:
            return mark
        if kind == "Patient":
            return self._requests.mark(Kind.RESOURCE, f"Patient/{value}")
        return self._requests.mark(Kind.RESOURCE, value)

    def _reference(self, value: str, name: str) -> Any:
        if value.startswith("#"):
            local = self._contained.get(value[1:])
            return f"#{local}" if local else ("#" if value == "#" else DROP)
        named = target(value)
        if named is None:
            return DROP
        kind = named.type or self._index.type_of({"reference": value}, self._within)
        if value.startswith(("urn:uuid:", "urn:oid:")):
            return _Marked(f"\ufdd2{self._id_mark(kind, value)}")
        return _Marked(f"{named.type}/{self._id_mark(named.type, named.id)}")

    def _full_url(self, value: str, name: str) -> Any:
        new = self._reference(value, name)
        if new is DROP or not isinstance(new, str):
            return DROP
        return new if new.startswith("\ufdd2") else _Marked(f"https://pseudonym.invalid/fhir/{new}")

    def _request_url(self, value: str, name: str) -> Any:
        path, _, _ = value.partition("?")
        if is_resource(path):
            return path
        new = self._reference(value, name)
        return new if new is not DROP else "#"

    def _system_url(self, value: str, name: str) -> Any:
        if value.startswith(self._policy.systems):
            return value
        return f"urn:x-pseud:system:{uuid.uuid5(NAMESPACE, value)}" if value else DROP

    def _public_url(self, value: str, name: str) -> Any:
        return value if value.startswith(self._policy.systems) and not self._known.touches(value) else DROP

    def _zip5(self, value: str, name: str) -> Any:
        return value if ZIP.fullmatch(value.strip()) else DROP

    def _city(self, value: str, name: str) -> Any:
        return value if CITY.fullmatch(value) and not self._known.touches(value) else DROP

    def _encrypt(self, value: str, name: str) -> Any:
        return self._requests.encrypted(value) or DROP

    def _surrogate(self, value: str, name: str) -> Any:
        return self._requests.surrogates.mark(NAME, value) if value else DROP

    def _shape(self, value: str, name: str) -> Any:
        return mask(value) or DROP

    def _version(self, value: str, name: str) -> Any:
        return value if _VERSION.fullmatch(value) else DROP

    def _state(self, value: str, name: str) -> Any:
        return state(value) or DROP

    def _zip3(self, value: str, name: str) -> Any:
        return zip3(value) or DROP

    def _country(self, value: str, name: str) -> Any:
        return value if _COUNTRY.fullmatch(value) else DROP

    def _code(self, value: str, name: str) -> Any:
        return value if _TERM.fullmatch(value) and not self._known.touches(value) else DROP

    def _narrative_status(self, value: str, name: str) -> Any:
        return "additional"

    def _link_id(self, value: str, name: str) -> Any:
        return value if _LINK_ID.fullmatch(value) and not self._known.touches(value) else DROP


_METHODS: dict[str, Callable[[_Pass, str, str], Any]] = {
    "term": _Pass._term,
    "code": _Pass._code,
    "token": _Pass._token,
    "pseudonym_system": _Pass._pseudonym_system,
    "resource_id": _Pass._resource_id,
    "reference": _Pass._reference,
    "full_url": _Pass._full_url,
    "request_url": _Pass._request_url,
    "system_url": _Pass._system_url,
    "public_url": _Pass._public_url,
    "version": _Pass._version,
    "state": _Pass._state,
    "zip3": _Pass._zip3,
    "zip5": _Pass._zip5,
    "city": _Pass._city,
    "mask": _Pass._shape,
    "surrogate": _Pass._surrogate,
    "encrypt": _Pass._encrypt,
    "country": _Pass._country,
    "narrative_status": _Pass._narrative_status,
    "deep_link_id": _Pass._link_id,
}


def _is_bare_number(coding: Object) -> bool:
    """A code without display and system that holds five digits or more: a number that strayed into a coded element."""
    code = coding.get("code")
    return isinstance(code, str) and not coding.get("display") and not coding.get("system") and sum(map(str.isdigit, code)) >= 5


def filled(text: str, token: Callable[[str], str]) -> str:
    """A value with its tokens in place; a leading U+FDD2 makes the token a ``urn:uuid:``."""
    if text.startswith("\ufdd2"):
        return f"urn:uuid:{uuid.uuid5(NAMESPACE, token(text[1:]))}"
    return token(text)
