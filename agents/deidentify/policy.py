"""The policy file, read once, checked, and turned into tables. Its version and SHA-256 go on every output (``deid-policy``).

Form: standards part of the documentation, ``apiVersion: deid/v1``. What the file does not allow is redacted; a file of the profile
``safe_harbor`` that keeps an identifying datatype is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final, cast

import yaml

from agents.deidentify.text.recognizers import VERSION as RECOGNIZERS_VERSION
from schemas.errors import ConfigurationError

#: What can be done to a leaf of HL7 v2.
HL7_METHODS: Final = frozenset({
    "redact", "token", "message_token", "practitioner", "organization", "year", "state", "zip3", "country",
    "code", "term", "display", "number", "comparator", "scrub",
})  # fmt: skip
#: What can be done to an element of FHIR.
FHIR_METHODS: Final = frozenset({
    "redact", "keep", "recurse", "token", "pseudonym_system", "reference", "resource_id", "full_url", "request_url", "public_url",
    "system_url", "version", "year", "drop_instant", "age", "state", "zip3", "country", "code", "term", "display", "scrub", "note",
    "narrative_status", "extension", "deep_display", "deep_link_id",
})  # fmt: skip

#: Datatypes that are identifiers as a whole: Safe Harbor keeps no component of them in clear but what is named here.
_IDENTIFYING_HL7 = {
    "XPN": frozenset[int](), "PN": frozenset[int](), "XTN": frozenset[int](), "TN": frozenset[int](), "PL": frozenset[int](),
    "XCN": frozenset({1}), "CN": frozenset({1}), "PPN": frozenset({1}), "CX": frozenset({1, 5}), "CK": frozenset({1, 5}),
    "EI": frozenset({1}), "XAD": frozenset({4, 5, 6, 7}), "AD": frozenset({4, 5, 6, 7}), "DR": frozenset[int](),
    "TS": frozenset[int](), "DT": frozenset[int](), "DTM": frozenset[int](),
}  # fmt: skip
_IN_CLEAR = frozenset({"code", "term", "display", "number", "comparator", "keep", "scrub"})
_MAY_STAY = {"CX": {5}, "CK": {5}, "XAD": {7}, "AD": {7}}
_IDENTIFYING_FHIR = ("HumanName", "ContactPoint", "Signature", "LocationPosition")

Hl7Rule = str | Mapping[int, str]


@dataclass(frozen=True, slots=True)
class ByType:
    """A field whose type another field of the segment tells (OBX-5 by OBX-2)."""

    field: int
    cases: Mapping[str, Hl7Rule]
    default: Hl7Rule


@dataclass(frozen=True, slots=True)
class Hl7Policy:
    """``datatypes`` and ``fields`` (``"PID-8"``) to a rule."""

    datatypes: Mapping[str, Hl7Rule]
    fields: Mapping[str, Hl7Rule | ByType]
    ages: frozenset[str]
    charset_fallback: str


@dataclass(frozen=True, slots=True)
class FhirPolicy:
    """``types`` to a method or a method by element; ``paths`` without ordinals; ``elements``: (type, element) to a method."""

    types: Mapping[str, str | Mapping[str, str]]
    paths: Mapping[str, str]
    elements: Mapping[tuple[str, str], str]
    extensions: frozenset[str]
    systems: tuple[str, ...]
    security_label: str
    ages: frozenset[str]


@dataclass(frozen=True, slots=True)
class Policy:
    """``version`` is ``profile@version#digest`` of file and recognizers."""

    version: str
    oldest_year: int
    hl7: Hl7Policy
    fhir: FhirPolicy


def load_policy(profile: str) -> Policy:
    """Raises ConfigurationError naming what is wrong with the file."""
    path = f"{profile}.yaml"
    source = resources.files("agents.deidentify.policies").joinpath(path)
    if not source.is_file():
        raise ConfigurationError(path="deid.profile", detail="no such profile")
    raw = source.read_bytes()
    document = yaml.safe_load(raw)
    if not isinstance(document, dict) or document.get("apiVersion") != "deid/v1" or document.get("profile") != profile:
        raise ConfigurationError(path=path, detail="not a policy of this form")
    digest = hashlib.sha256(raw)
    for name in ("restricted_zip3.txt", "common_word_names.txt", "nicknames.txt"):
        digest.update(resources.files("agents.deidentify.tables").joinpath(name).read_bytes())
    digest.update(RECOGNIZERS_VERSION.encode())
    try:
        policy = Policy(
            version=f"{profile}@{document['version']}#{digest.hexdigest()[:12]}",
            oldest_year=int(document["defaults"]["oldest_year"]),
            hl7=_hl7(document["hl7"], document["defaults"]["hl7"], path),
            fhir=_fhir(document["fhir"], path),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ConfigurationError(path=path, detail="a part is missing or of the wrong form") from None
    if profile == "safe_harbor":
        _check_safe_harbor(policy, path)
    return policy


def _hl7(part: dict[str, Any], defaults: dict[str, Any], path: str) -> Hl7Policy:
    fields: dict[str, Hl7Rule | ByType] = {}
    for row in part["fields"]:
        name = row["path"]
        if "by" in row:
            cases = {str(kind): _hl7_rule(rule, f"{path}: {name}") for kind, rule in row["cases"].items()}
            fields[name] = ByType(int(row["by"].rpartition("-")[2]), cases, _hl7_rule(row["default"], f"{path}: {name}"))
        else:
            fields[name] = _hl7_rule(row["use"], f"{path}: {name}")
    datatypes = {name: _hl7_rule(rule, f"{path}: {name}") for name, rule in part["datatypes"].items()}
    return Hl7Policy(datatypes, fields, frozenset(part["ages"]), defaults["charset_fallback"])


def _hl7_rule(rule: Any, path: str) -> Hl7Rule:
    methods = rule.values() if isinstance(rule, dict) else (rule,)
    if not all(method in HL7_METHODS for method in methods):
        raise ConfigurationError(path=path, detail="unknown method")
    return {int(component): method for component, method in rule.items()} if isinstance(rule, dict) else cast("str", rule)


def _fhir(part: dict[str, Any], path: str) -> FhirPolicy:
    elements = {(kind, name): method for kind, rows in part["elements"].items() for name, method in rows.items()}
    paths = {row["path"]: row["use"] for row in part["paths"]}
    types: dict[str, str | Mapping[str, str]] = part["types"]
    used = [*paths.values(), *elements.values()]
    for rule in types.values():
        used += rule.values() if isinstance(rule, dict) else [str(rule)]
    if not all(method in FHIR_METHODS for method in used):
        raise ConfigurationError(path=path, detail="unknown method")
    return FhirPolicy(
        types,
        paths,
        elements,
        frozenset(part["extensions"]),
        tuple(part["systems"]),
        part["security_label"],
        frozenset(part["ages"]),
    )


def _check_safe_harbor(policy: Policy, path: str) -> None:
    """Raises ConfigurationError for a rule that would let an identifier of 45 CFR 164.514(b)(2)(i) pass."""
    for name, allowed in _IDENTIFYING_HL7.items():
        rule = policy.hl7.datatypes.get(name, "redact")
        if isinstance(rule, str):
            wrong = rule in _IN_CLEAR
        else:
            wrong = any(n not in allowed or (m in _IN_CLEAR and n not in _MAY_STAY.get(name, set())) for n, m in rule.items())
        if wrong:
            raise ConfigurationError(path=f"{path}: {name}", detail="keeps an identifier")
    if any(policy.fhir.types.get(name, "redact") != "redact" for name in _IDENTIFYING_FHIR):
        raise ConfigurationError(path=path, detail="keeps an identifying type")
    if policy.fhir.types.get("string") != "redact" or policy.hl7.datatypes.get("ST") != "redact":
        raise ConfigurationError(path=path, detail="strings that no rule names must be redacted")
