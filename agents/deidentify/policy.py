"""The rule file turned into tables. Its version and SHA-256 go on every output (``deid-policy``).

Form: ``agents.deidentify.form``. What the file does not allow is redacted; a file that breaks the promise of its profile
(``agents.deidentify.promise``) is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec

from agents.deidentify.form import FieldForm, PolicyForm, Read, read_file, read_profile
from agents.deidentify.promise import broken
from agents.deidentify.text.recognizers import VERSION as RECOGNIZERS_VERSION
from schemas.errors import ConfigurationError
from schemas.fhir.definitions import elements

_QUANTITIES = frozenset({"Duration", "Count", "Distance", "MoneyQuantity", "SimpleQuantity"})
#: Items of a questionnaire hold items; a path cannot name every depth.
_ITEMS = {"text": "deep_display", "linkId": "deep_link_id", "valueString": "scrub"}

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

    def rule(self, kind: str, name: str, type_name: str) -> tuple[str, str | Mapping[str, str]]:
        """Which rule decides the element ``name`` (path without ordinals) of an object of type ``kind``, and its method.

        The rule is a place in the file; ``recurse`` takes an object apart into its elements.
        """
        key = name.rpartition(".")[2]
        if (method := self.paths.get(name)) is not None:
            return f"fhir.paths.{name}", method
        if (method := self.elements.get((kind, key))) is not None:
            return f"fhir.elements.{kind}", method
        if name.startswith("QuestionnaireResponse.item") and (method := _ITEMS.get(key)) is not None:
            return f"fhir.paths.QuestionnaireResponse.item.{key}", method
        place = "Quantity" if type_name in _QUANTITIES else type_name
        if (found := self.types.get(place)) is not None:
            return f"fhir.types.{place}", found
        return "defaults.fhir", "recurse" if elements(type_name) else "redact"


@dataclass(frozen=True, slots=True)
class Policy:
    """``version`` is ``profile@version#digest`` of files and recognizers.

    Attributes:
        dates: what happens to dates in text.
        caps_ages: ages over 89, and years that tell them, go.
        shifts, keeps_dates, invents: whether any rule shifts dates, lets whole ones stay, or puts surrogates in.
        encrypts: whether any rule encrypts, which needs the master key.
        surrogates: names and numbers in text become surrogates instead of tags.
        max_days, multiple_of: of the shift, in days.
    """

    version: str
    oldest_year: int
    hl7: Hl7Policy
    fhir: FhirPolicy
    profile: str = "safe_harbor"
    dates: Literal["year", "shift", "keep"] = "year"
    caps_ages: bool = True
    shifts: bool = False
    keeps_dates: bool = False
    surrogates: bool = False
    invents: bool = False
    encrypts: bool = False
    max_days: int = 365
    multiple_of: int = 1


def load_policy(profile: str) -> Policy:
    """A shipped profile. Raises ConfigurationError naming what is wrong with the file."""
    return compile_policy(read_profile(profile))


def load_policy_file(path: Path) -> Policy:
    """A rule file of the site. Raises ConfigurationError naming what is wrong with it."""
    return compile_policy(read_file(path))


def compile_policy(read: Read) -> Policy:
    """Raises ConfigurationError when the file breaks its profile's promise."""
    form = read.form
    digest = hashlib.sha256(read.digest)
    for name in ("restricted_zip3.txt", "common_word_names.txt", "nicknames.txt", "surrogate_names.txt"):
        digest.update(resources.files("agents.deidentify.tables").joinpath(name).read_bytes())
    digest.update(RECOGNIZERS_VERSION.encode())
    for finding in broken(form):
        raise ConfigurationError(path=f"{read.name}: {finding.rule}", detail=finding.why)
    return Policy(
        version=f"{form.profile}@{form.version}#{digest.hexdigest()[:12]}",
        oldest_year=form.defaults.oldest_year,
        hl7=_hl7(form, read.name),
        fhir=_fhir(form),
        profile=form.profile,
        dates=form.text.dates,
        caps_ages=form.over_89 == "cap",
        shifts=_uses(form, "shift"),
        surrogates=form.text.replace == "surrogate",
        encrypts=_uses(form, "encrypt"),
        invents=_uses(form, "surrogate"),
        keeps_dates=_uses(form, "date") or form.text.dates == "keep",
        max_days=form.shift.max_days,
        multiple_of=form.shift.multiple_of,
    )


def _uses(form: PolicyForm, method: str) -> bool:
    def found(value: object) -> bool:
        if isinstance(value, dict):
            return any(map(found, value.values()))
        return any(map(found, value)) if isinstance(value, list) else value == method

    return found(msgspec.to_builtins([form.hl7, form.fhir, form.text]))


def _hl7(form: PolicyForm, name: str) -> Hl7Policy:
    fields = {row.path: _field(row, name) for row in form.hl7.fields}
    return Hl7Policy(form.hl7.datatypes, fields, frozenset(form.hl7.ages), form.defaults.hl7.charset_fallback)


def _field(row: FieldForm, name: str) -> Hl7Rule | ByType:
    if not row.by:
        if row.use is None:
            raise ConfigurationError(path=f"{name}: {row.path}", detail="says neither use nor by")
        return row.use
    number = row.by.rpartition("-")[2]
    if not number.isdigit():
        raise ConfigurationError(path=f"{name}: {row.path}", detail="by names no field")
    return ByType(int(number), row.cases, row.default)


def _fhir(form: PolicyForm) -> FhirPolicy:
    part = form.fhir
    return FhirPolicy(
        types=part.types,
        paths={row.path: row.use for row in part.paths},
        elements={(kind, name): method for kind, rows in part.elements.items() for name, method in rows.items()},
        extensions=frozenset(part.extensions),
        systems=tuple(part.systems),
        security_label=part.security_label,
        ages=frozenset(part.ages),
    )
