"""Which rule decides a field or element, and why, in words for a privacy officer. No message is needed and no value is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from agents.deidentify.form import Read
from agents.deidentify.policy import ByType, Hl7Rule, Policy, compile_policy
from schemas.errors import ConfigurationError
from schemas.fhir.definitions import element, elements, is_resource
from schemas.hl7 import tables

#: What each method does, as the end of a sentence that begins with the path.
WORDS: Final[Mapping[str, str]] = {
    "redact": "is taken out",
    "keep": "stays as it is",
    "recurse": "is taken apart; each element has its own rule",
    "token": "becomes a random token of the vault; the same number is always the same token",
    "practitioner": "becomes a random token of the clinician",
    "organization": "becomes a random token of the house of care",
    "message_token": "becomes a keyed hash of the message number",
    "resource_id": "becomes a random token, in every reference alike",
    "reference": "points to the token of what it pointed to",
    "full_url": "becomes an address made of the token",
    "request_url": "becomes an address made of the token",
    "pseudonym_system": "becomes the name of the pseudonym domain",
    "public_url": "stays if it is a public definition, otherwise it is taken out",
    "system_url": "stays if it is a public code system, otherwise it becomes a number that stands for it",
    "version": "stays if it is a short number",
    "year": "is cut to the year; the year goes too where it tells an age over 89",
    "shift": "is moved by the patient's own number of days; it goes where it tells an age over 89",
    "date": "stays whole if it is a date",
    "drop_instant": "is taken out and marked as masked; its minutes travel on the patient's own clock",
    "age": "stays; over 89 it becomes 90 unless the profile keeps such ages",
    "state": "stays if it is a state",
    "zip3": "is cut to three digits, 000 for thinly populated areas",
    "zip5": "stays if it is a ZIP code",
    "city": "stays if it is a word and no name of the message",
    "country": "stays if it is a country code",
    "code": "stays if it is a code and no identifier of the message",
    "term": "stays if it is a code and no identifier of the message",
    "display": "stays as the text of a code; identifiers in it are replaced",
    "deep_display": "stays as the text of a question; identifiers in it are replaced",
    "deep_link_id": "stays if it is a short code",
    "number": "stays if it is a number and no identifier of the message",
    "comparator": "stays if it is a comparison sign",
    "scrub": "is read as free text; identifiers in it are replaced",
    "note": "is opened and read as free text; what cannot be opened is withheld",
    "narrative_status": "says that the narrative was rewritten",
    "extension": "stays if the list of extensions names it, otherwise it is taken out",
    "mask": "keeps its shape: letters become A, digits 9",
    "surrogate": "becomes an invented name, the same in every message of the patient",
    "encrypt": "is encrypted; whoever has the master key of the site can read it again",
    "drop": "is dropped with its whole segment, and counted",
}

#: Condition of the row for every type that no case names.
OTHERWISE = "anything else"

_HL7 = re.compile(r"([A-Z][A-Z0-9]{2})(?:\[\d+\])?-(\d{1,3})(?:\[\d+\])?(?:\.(\d{1,2}))?(?:\.\d{1,2})?")
_FHIR = re.compile(r"[A-Z][A-Za-z]+(?:\.[A-Za-z_]+(?:\[\d+\])?)+")
_ORDINAL = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class Decision:
    """``rule`` is a place in ``file``; ``when`` says under which condition (another field, a component)."""

    path: str
    type: str
    method: str
    rule: str
    file: str
    why: str
    when: str = ""


class Explainer:
    """Made from one rule file. Raises ConfigurationError when the file breaks its promise."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._policy: Policy = compile_policy(read)

    def explain(self, path: str) -> list[Decision]:
        """Rows for ``PID-5``, ``PID-11.5`` or ``Patient.name.given``; a choice element without its type gives a row for each type.

        Raises:
            ConfigurationError: neither an HL7 field nor a FHIR path.
        """
        if (match := _HL7.fullmatch(path)) is not None:
            segment, field, component = match[1], int(match[2]), int(match[3] or 0)
            return list(self._hl7(segment, field, component))
        if _FHIR.fullmatch(path) and is_resource(path.partition(".")[0]):
            return self._fhir(_ORDINAL.sub("", path))
        raise ConfigurationError(path="PATH", detail="neither an HL7 field (PID-5) nor a FHIR path (Patient.name.given)")

    def _row(self, path: str, kind: str, method: str, rule: str, *, because: str, when: str = "") -> Decision:
        file = self._file(rule)
        return Decision(path, kind, method, rule, file, f"{because} {WORDS[method]}.", when)

    def _file(self, rule: str) -> str:
        """The file that says it; a rule that nobody wrote comes from the defaults."""
        sources, place = self._read.sources, rule
        while place:
            if place in sources:
                return sources[place]
            place = place.rpartition(".")[0]
        return self._read.name

    def _hl7(self, segment: str, field: int, component: int) -> Iterator[Decision]:
        path = f"{segment}-{field}" + (f".{component}" if component else "")
        kinds = tables.field_types(segment)
        if segment.startswith("Z") or not kinds:
            which = "z_segment" if segment.startswith("Z") else "unknown_segment"
            yield self._row(path, "", "drop", f"defaults.hl7.{which}", because=f"No standard defines {segment}: it")
            return
        kind = kinds[field - 1] if 1 <= field <= len(kinds) else None
        if kind is None:
            yield self._row(
                path, "", "redact", "defaults.hl7.unknown_field", because=f"No standard defines {segment}-{field}: it"
            )
            return
        label = f"{segment}-{field}"
        written = self._policy.hl7.fields.get(label)
        if isinstance(written, ByType):
            if label == "OBX-5":
                attached = "An attachment (OBX-2 is ED or RP)"
                yield self._row(path, "ED", "note", "hl7.fields.OBX-5", because=attached, when="OBX-2 is ED")
            for case, rule in {**written.cases, "*": written.default}.items():
                when = f"{segment}-{written.field} is {case or 'empty'}" if case != "*" else OTHERWISE
                yield from self._parts(path, case, rule, f"hl7.fields.{label}", component, "The field has its own rule", when)
        elif written is not None:
            yield from self._parts(path, kind, written, f"hl7.fields.{label}", component, "The field has its own rule")
        else:
            yield from self._datatype(path, kind, component)

    def _datatype(self, path: str, kind: str, component: int) -> Iterator[Decision]:
        written = self._policy.hl7.datatypes.get(kind)
        if written is not None:
            yield from self._parts(path, kind, written, f"hl7.datatypes.{kind}", component, f"Everything of datatype {kind}")
            return
        inner = tables.component_types(kind)
        if not inner:
            yield self._row(path, kind, "redact", "defaults.hl7.unknown_field", because=f"No rule names datatype {kind}: it")
        for n, part in enumerate(inner, 1):
            if part is not None and component in (0, n):
                yield from self._datatype(path if component else f"{path}.{n}", part, 0)

    def _parts(
        self, path: str, kind: str, rule: Hl7Rule, place: str, component: int, because: str, when: str = ""
    ) -> Iterator[Decision]:
        if isinstance(rule, str):
            yield self._row(
                path, kind, rule, place, because=because if because.startswith("Everything") else f"{because} and", when=when
            )
        elif component:
            method = rule.get(component, "redact")
            yield self._row(path, kind, method, f"{place}.{component}", because=f"{because}: component {component}", when=when)
        else:
            for n, method in rule.items():
                row = self._row(f"{path}.{n}", kind, method, f"{place}.{n}", because=f"{because}: component {n}", when=when)
                yield row
            rest = self._row(path, kind, "redact", place, because=f"{because}: every other component", when=when)
            yield replace(rest, path=f"{path}.*")

    def _fhir(self, path: str) -> list[Decision]:
        resource, *keys = path.split(".")
        name, kind = resource, resource
        methods: Mapping[str, str] | None = None
        place = ""
        for position, key in enumerate(keys):
            definition = element(kind, key)
            if definition is None:
                choices = [e.name for e in elements(kind).values() if e.choice == key]
                if choices:
                    rest = keys[position + 1 :]
                    return [row for choice in choices for row in self._fhir(".".join([name, choice, *rest]))]
                return [
                    self._row(
                        path,
                        "",
                        "redact",
                        "defaults.fhir.unknown_element",
                        because=f"FHIR R4 does not define {key} of {kind}: it",
                    )
                ]
            name = f"{name}.{key}"
            if definition.type == "Resource":
                return [self._row(name, "Resource", "recurse", "defaults.fhir.contained", because="A resource inside another")]
            if key == "extension" or key.startswith("_"):
                return [self._row(path, definition.type, "extension", "fhir.extensions", because="An extension")]
            because = ""
            if methods is not None:
                because = f"Everything of type {kind}: {key}"
                place, method = f"{place}.{key}", methods.get(key, "redact")
                found: str | Mapping[str, str] = method
                if method == "recurse":
                    inner = self._policy.fhir.types.get(definition.type)
                    place, found = f"fhir.types.{definition.type}", inner if inner is not None else "recurse"
            else:
                place, found = self._policy.fhir.rule(kind, name, definition.type)
            kind = definition.type
            if isinstance(found, str) and found != "recurse":
                return [self._row(path, kind, found, place, because=because or _because(place, kind))]
            methods = None if isinstance(found, str) else found
        if methods is None:
            return [self._row(path, kind, "recurse", place, because=_because(place, kind))]
        return [
            *(self._row(f"{path}.{key}", kind, m, f"{place}.{key}", because=f"Everything of type {kind}: {key}") for key, m in methods.items()),
            self._row(f"{path}.*", kind, "redact", place, because=f"Everything of type {kind}: every other element"),
        ]  # fmt: skip


def _because(place: str, kind: str) -> str:
    if place.startswith("fhir.paths"):
        return "The path has its own rule and"
    if place.startswith("fhir.elements"):
        return "The element has its own rule and"
    return "No rule names it: it" if place.startswith("defaults") else f"Everything of type {kind}"
