"""Configurations of Microsoft's Tools for Health Data Anonymization (``fhirPathRules``, FHIR R4) as rule files of ours.

Both apply the first rule that fits, but theirs lets pass what no rule names, ours takes it out: the result is never looser than the
profile that it builds on. Their methods are aliases here (``ALIASES``); what has no counterpart, or would break the profile's promise,
is listed with what happens instead.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import yaml

from agents.deidentify.form import FhirForm, PathForm, PolicyForm, read_profile
from agents.deidentify.promise import broken
from schemas.errors import ConfigurationError
from schemas.fhir.definitions import Element, element, elements, is_resource, is_type

#: Their method -> what it is here; a kept or hashed value also depends on its FHIR type (``_method``).
ALIASES: Final[Mapping[str, str]] = {
    "keep": "keep",
    "redact": "redact",
    "dateshift": "shift",
    "cryptohash": "token",
    "encrypt": "encrypt",
    "perturb": "redact",
    "substitute": "redact",
    "generalize": "redact",
}
_INSTEAD = {
    "encrypt": "a token of the vault stands for it; the site reads it back with an audited re-identification",
    "perturb": "noise is no method here; the value is taken out",
    "substitute": "fixed values are no method here; the value is taken out",
    "generalize": "expressions are no method here; the value is taken out",
}
#: Shift of the tool, in days either way.
_DAYS = 50

#: Datatypes whose elements have rules of their own, and which of them are dates.
_DATED = {"Period": ("start", "end"), "Annotation": ("time",), "Attachment": ("creation",)}

_BY_TYPE = re.compile(r"(?:(\w+)\.)?nodesByType\('(\w+)'\)(?:\.(\w+))?")
_PATH = re.compile(r"[A-Z]\w*(?:\.[a-z]\w*)+")
_AS = re.compile(r"([A-Z]\w*(?:\.[a-z]\w*)+)\s+as\s+(\w+)")


@dataclass(frozen=True, slots=True)
class Difference:
    """A rule that is not here what it was there. ``effect``: ``stricter``, ``looser``, ``same`` (said by the profile) or
    ``not carried``."""

    path: str
    method: str
    effect: str
    why: str


@dataclass(slots=True)
class Carried:
    """``text`` is the rule file; ``carried`` counts rules that went over."""

    text: str = ""
    carried: int = 0
    differences: list[Difference] = field(default_factory=list)


def carry_over(raw: bytes, profile: str) -> Carried:
    """A rule file that extends ``profile``.

    Raises:
        ConfigurationError: not such a configuration, for another FHIR version, or with a method that the tool does not have.
    """
    work = _Import(_document(raw), profile)
    work.run()
    document = {
        "apiVersion": "deid/v1",
        "extends": profile,
        "profile": profile,
        "version": f"import-{hashlib.sha256(raw).hexdigest()[:8]}",
        **({"shift": {"max_days": _DAYS, "multiple_of": 1}} if work.shifts else {}),
        "fhir": {"types": work.types, "paths": [{"path": path, "use": use} for path, use in work.paths.items()]},
    }
    head = "# Carried over from a configuration with fhirPathRules. What no rule of this file or of its base names is redacted.\n"
    return Carried(head + yaml.safe_dump(document, sort_keys=False, width=130), work.count, work.differences)


def _document(raw: bytes) -> dict[str, Any]:
    try:
        document: Any = json.loads(raw.decode("utf-8-sig"))
    except ValueError:
        raise ConfigurationError(path="fhirPathRules", detail="not JSON") from None
    rules = document.get("fhirPathRules") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(rules, list) or not rules:
        raise ConfigurationError(path="fhirPathRules", detail="no rules")
    if document.get("fhirVersion") not in ("R4", "", None):
        raise ConfigurationError(path="fhirVersion", detail="only R4")
    for rule in rules:
        if not isinstance(rule, dict) or not isinstance(rule.get("path"), str) or not isinstance(rule.get("method"), str):
            raise ConfigurationError(path="fhirPathRules", detail="a rule without path or method")
        if rule["method"].casefold() not in ALIASES:
            raise ConfigurationError(path="fhirPathRules", detail="a method that the tool does not have")
    return document


class _Import:
    def __init__(self, document: dict[str, Any], profile: str) -> None:
        self._rules: list[dict[str, Any]] = document["fhirPathRules"]
        parameters = document.get("parameters")
        self._parameters: dict[str, Any] = parameters if isinstance(parameters, dict) else {}
        self._base = read_profile(profile).form
        self._seen: set[tuple[str, str]] = set()
        #: Elements of types that rules of the configuration name.
        self._named: dict[str, dict[str, str]] = {}
        self.types: dict[str, Any] = {}
        self.paths: dict[str, str] = {}
        self.differences: list[Difference] = []
        self.count = 0

    @property
    def shifts(self) -> bool:
        return "shift" in self.types.values() or "shift" in self.paths.values()

    def run(self) -> None:
        for rule in self._rules:
            path, method = rule["path"].strip(), rule["method"]
            placed = False
            for place, definition in self._places(path):
                placed = True
                self._place(path, method, place, definition)
            if not placed:
                self._differs(path, method, "not carried", "the expression is not a type, an element or a path of FHIR R4")

    def _differs(self, path: str, method: str, effect: str, why: str) -> None:
        self.differences.append(Difference(path, method, effect, why))

    def _places(self, path: str) -> Iterator[tuple[tuple[str, str], Element | None]]:
        """Where a rule goes: (type, element or empty) or ("", path); nothing for an expression that is none of these."""
        if match := _BY_TYPE.fullmatch(path):
            _, kind, key = match.groups()
            if is_type(kind) or any(kind == found for found in self._base.fhir.types):
                yield (kind, key or ""), (element(kind, key) if key else None)
        elif path == "Resource":
            yield ("Resource", ""), None
        elif path == "Resource.id":
            yield ("id", ""), None
        elif match := _AS.fullmatch(path):
            yield from self._choices(match[1], match[2])
        elif _PATH.fullmatch(path) and is_resource(path.partition(".")[0]):
            yield from self._choices(path, "")

    def _choices(self, path: str, kind: str) -> Iterator[tuple[tuple[str, str], Element]]:
        """The element itself, or every type of a choice (``Condition.onset``), or the one that ``as`` names."""
        owner, *keys = path.split(".")
        name = owner
        for key in keys[:-1]:
            found = element(owner, key)
            if found is None:
                return
            owner, name = found.type, f"{name}.{key}"
        last = keys[-1]
        exact = element(owner, last)
        rows = [exact] if exact else [row for row in elements(owner).values() if row.choice == last and kind in ("", row.type)]
        for row in rows:
            yield ("", f"{name}.{row.name}"), row

    def _place(self, path: str, method: str, place: tuple[str, str], definition: Element | None) -> None:
        if place in self._seen:
            return  # the first rule wins there as here
        self._seen.add(place)
        kind, key = place
        resource_bound = kind and path.startswith(tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")) and ".nodesByType" in path
        theirs = method.casefold()
        if kind == "Resource":
            effect = "looser" if theirs == "redact" else "stricter"
            self._differs(path, method, effect, "no rule is for whole resources; the profile decides what no rule names")
            return
        type_name = definition.type if definition else kind
        use = self._method(theirs, type_name, key.rpartition(".")[2] or kind)
        base = self._base.fhir.types.get(kind) if kind else None
        now = base.get(key, "redact") if key and isinstance(base, dict) else base if isinstance(base, str) and not key else None
        if kind and theirs == "keep" and not key:
            self._differs(path, method, "stricter", f"a whole {kind} does not stay; the profile's rule for it holds")
            return
        if resource_bound and theirs == "keep" and now in (None, "redact"):
            self._differs(path, method, "not carried", "types have one rule for all resources")
            return
        if kind and key and theirs == "keep" and now not in (None, "redact"):
            self._named.setdefault(kind, {})[key] = str(now)
            self._differs(path, method, "same", f"the profile says {now}")
            return
        self._try(path, method, place, use)

    def _method(self, theirs: str, type_name: str, key: str) -> str:
        use = ALIASES[theirs]
        if use == "shift" and self._base.profile == "safe_harbor":
            return "drop_instant" if type_name == "instant" else "year"
        if use == "encrypt" and (self._base.profile == "safe_harbor" or type_name != "string"):
            use = "token"
        if use == "token":
            return {"id": "resource_id", "Reference": "recurse"}.get(type_name, "token")
        if use == "keep":
            if type_name in ("string", "markdown"):
                return "scrub"
            return {"code": "term", "Reference": "recurse", "Attachment": "recurse"}.get(
                type_name, "keep" if definition_is_primitive(type_name) else "recurse"
            )
        if use == "redact" and theirs == "redact":
            partial = self._parameters
            if type_name in ("date", "dateTime") and partial.get("enablePartialDatesForRedact"):
                return "year"
            if key == "postalCode" and partial.get("enablePartialZipCodesForRedact"):
                return "zip3"
        return use

    def _try(self, path: str, method: str, place: tuple[str, str], use: str) -> None:
        """Put the rule in, unless it breaks the promise of the profile."""
        kind, key = place
        types, paths = dict(self.types), dict(self.paths)
        if not kind:
            paths[key] = use
        elif key:
            before = types.get(kind, self._base.fhir.types.get(kind))
            types[kind] = {**before, key: use} if isinstance(before, dict) else {key: use}
        elif use == "redact":
            partial = kind == "Address" and self._parameters.get("enablePartialZipCodesForRedact")
            kept = {**self._named.get(kind, {}), **({"postalCode": "zip3"} if partial else {})}
            types[kind] = kept or use
        else:
            types[kind] = use
        for holder, names in _DATED.items() if kind == "dateTime" else ():
            before = types.get(holder, self._base.fhir.types.get(holder))
            if isinstance(before, dict):
                types[holder] = {**before, **dict.fromkeys(names, use)}
        faults = set(broken(self._form(types, paths))) - set(broken(self._base))
        if faults:
            self._differs(path, method, "stricter", f"the profile {self._base.profile} forbids it: {min(f.why for f in faults)}")
            return
        self.types, self.paths = types, paths
        if kind and key:
            self._named.setdefault(kind, {})[key] = use
        self.count += 1
        theirs = method.casefold()
        if theirs in _INSTEAD and use != "encrypt":
            self._differs(path, method, "stricter", _INSTEAD[theirs])
        elif theirs == "dateshift" and use != "shift":
            self._differs(path, method, "stricter", "Safe Harbor leaves the year and shifts nothing; build on expert to shift")
        elif theirs == "keep" and use in ("scrub", "recurse", "term"):
            self._differs(path, method, "stricter", "identifiers in it are still replaced")

    def _form(self, types: dict[str, Any], paths: dict[str, str]) -> PolicyForm:
        base = self._base.fhir
        rows = {row.path: row.use for row in base.paths} | paths
        fhir: FhirForm = msgspec.structs.replace(
            base, types={**base.types, **types}, paths=[PathForm(path=path, use=use) for path, use in rows.items()]  # type: ignore[arg-type]
        )  # fmt: skip
        return msgspec.structs.replace(self._base, fhir=fhir)


def definition_is_primitive(type_name: str) -> bool:
    """Whether values of the type are no objects."""
    return not elements(type_name)
