"""The form of a rule file (``apiVersion: deid/v1``): what may stand in it, and how a profile builds on another.

A profile that ``extends`` another says only what differs: rules are replaced by name (datatype, field, type, path, element), lists
and numbers as a whole. ``policies/policy.schema.json`` is made from these types: ``python -m agents.deidentify.form``.
"""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal, get_args

import msgspec
import yaml

from schemas.errors import ConfigurationError

#: What can be done to a leaf of HL7 v2.
Hl7Method = Literal[
    "redact", "token", "message_token", "practitioner", "organization", "year", "shift", "date", "state", "zip3", "zip5", "city",
    "country", "code", "term", "display", "number", "comparator", "scrub", "mask", "surrogate", "encrypt",
]  # fmt: skip
#: What can be done to an element of FHIR.
FhirMethod = Literal[
    "redact", "keep", "recurse", "token", "pseudonym_system", "reference", "resource_id", "full_url", "request_url", "public_url",
    "system_url", "version", "year", "shift", "date", "drop_instant", "age", "state", "zip3", "zip5", "city", "country", "code",
    "term", "display", "scrub", "note", "narrative_status", "extension", "deep_display", "deep_link_id", "mask", "surrogate", "encrypt",
]  # fmt: skip
HL7_METHODS: Final[frozenset[str]] = frozenset(get_args(Hl7Method))
FHIR_METHODS: Final[frozenset[str]] = frozenset(get_args(FhirMethod))

Profile = Literal["safe_harbor", "expert", "limited", "internal"]
Hl7RuleForm = Hl7Method | dict[int, Hl7Method]
FhirRuleForm = FhirMethod | dict[str, FhirMethod]

#: Deepest chain of ``extends``.
_DEEPEST = 4


class _Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class Hl7Defaults(_Form, frozen=True):
    """Only the strict answers exist: what the standard does not know goes."""

    unknown_segment: Literal["drop"]
    z_segment: Literal["drop"]
    unknown_field: Literal["redact"]
    charset_fallback: str


class FhirDefaults(_Form, frozen=True):
    version: Literal["R4"]
    unknown_element: Literal["redact"]
    extension: Literal["redact"]
    modifier_extension: Literal["refuse"]
    contained: Literal["recurse"]


class Defaults(_Form, frozen=True):
    """``oldest_year``: birth years up to this one tell an age over 89 where a message has no date of its own."""

    hl7: Hl7Defaults
    fhir: FhirDefaults
    on_error: Literal["dead_letter"]
    oldest_year: int


class FieldForm(_Form, frozen=True):
    """``use`` for the field, or ``cases`` by what the field ``by`` of the segment says."""

    path: str
    use: Hl7RuleForm | None = None
    by: str = ""
    cases: dict[str, Hl7RuleForm] = {}
    default: Hl7RuleForm = "redact"


class PathForm(_Form, frozen=True):
    path: str
    use: FhirMethod


class Hl7Form(_Form, frozen=True):
    datatypes: dict[str, Hl7RuleForm]
    fields: list[FieldForm]
    ages: list[str]


class FhirForm(_Form, frozen=True):
    types: dict[str, FhirRuleForm]
    paths: list[PathForm]
    elements: dict[str, dict[str, FhirMethod]]
    extensions: list[str]
    systems: list[str]
    security_label: str
    ages: list[str]


class ShiftForm(_Form, frozen=True):
    """One shift per patient, in whole days: a multiple of ``multiple_of`` (7 keeps the day of the week), never 0."""

    max_days: int = msgspec.field(default=365)
    multiple_of: int = msgspec.field(default=1)


class TextForm(_Form, frozen=True):
    """``dates``: the year alone, the patient's shift, or as written; ``replace``: how names are replaced."""

    layers: list[Literal["known", "pattern", "model"]]
    replace: Literal["tag", "surrogate"] = "tag"
    dates: Literal["year", "shift", "keep"] = "year"


class VerifyForm(_Form, frozen=True):
    residual_scan: Literal[True]
    sample_rate: float


class PolicyForm(_Form, frozen=True):
    """One rule file after ``extends`` is resolved."""

    api_version: Literal["deid/v1"] = msgspec.field(name="apiVersion")
    profile: Profile
    version: str
    defaults: Defaults
    data: dict[str, str]
    hl7: Hl7Form
    fhir: FhirForm
    text: TextForm
    verify: VerifyForm
    purpose: str = ""
    over_89: Literal["cap", "keep"] = "cap"
    shift: ShiftForm = ShiftForm()


class Read(msgspec.Struct, frozen=True):
    """``sources``: where each rule is written, ``hl7.datatypes.TS`` -> ``expert.yaml``; ``digest`` is over all files."""

    form: PolicyForm
    sources: dict[str, str]
    digest: bytes
    name: str


def read_profile(profile: str) -> Read:
    """A shipped profile. Raises ConfigurationError when there is none, or it does not have the form."""
    source = resources.files("agents.deidentify.policies").joinpath(f"{profile}.yaml")
    if not profile.isidentifier() or not source.is_file():
        raise ConfigurationError(path="deid.profile", detail="no such profile")
    read = _resolve(source.read_bytes(), f"{profile}.yaml")
    if read.form.profile != profile:
        raise ConfigurationError(path=f"{profile}.yaml", detail="names another profile than its file")
    return read


def read_file(path: Path) -> Read:
    """A rule file of the site; ``extends`` names a shipped profile. Raises ConfigurationError."""
    try:
        return _resolve(path.read_bytes(), path.name)
    except OSError:
        raise ConfigurationError(path=path.name, detail="cannot be read") from None


def _resolve(raw: bytes, name: str) -> Read:
    chain = [(name, raw, _load(raw, name))]
    while (base := chain[-1][2].get("extends")) is not None:
        source = resources.files("agents.deidentify.policies").joinpath(f"{base}.yaml")
        if len(chain) >= _DEEPEST or not str(base).isidentifier() or not source.is_file():
            raise ConfigurationError(path=f"{name}: extends", detail="no such profile, or a circle")
        chain.append((f"{base}.yaml", source.read_bytes(), _load(source.read_bytes(), name)))
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    digest = hashlib.sha256()
    for file, content, document in reversed(chain):
        digest.update(content)
        _merge(merged, {key: value for key, value in document.items() if key != "extends"}, file, "", sources)
    try:
        form = msgspec.convert(merged, PolicyForm)
    except msgspec.ValidationError as error:
        raise ConfigurationError(path=name, detail=str(error)) from None
    return Read(form, sources, digest.digest(), name)


#: libyaml's where PyYAML was built with it: a tenth of the time, which is part of every start.
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _load(raw: bytes, name: str) -> dict[str, Any]:
    try:
        document = yaml.load(raw, Loader=_LOADER)  # noqa: S506 - one of the two safe ones
    except yaml.YAMLError:
        raise ConfigurationError(path=name, detail="not YAML") from None
    if not isinstance(document, dict):
        raise ConfigurationError(path=name, detail="not a policy of this form")
    return document


#: Mappings that are merged name by name; below them a rule is replaced as a whole.
_MERGED = frozenset({"hl7", "hl7.datatypes", "fhir", "fhir.types", "fhir.elements", "defaults", "text", "shift"})
_ROWS = frozenset({"hl7.fields", "fhir.paths"})


def _merge(into: dict[str, Any], new: dict[str, Any], file: str, at: str, sources: dict[str, str]) -> None:
    for key, value in new.items():
        path = f"{at}.{key}" if at else str(key)
        if path in _MERGED and isinstance(value, dict):
            below = into.get(key)
            into[key] = dict(below) if isinstance(below, dict) else {}
            _merge(into[key], value, file, path, sources)
        elif path in _ROWS and isinstance(value, list):
            rows = {_name(row): row for row in into.get(key, ())}
            rows.update({_name(row): row for row in value})
            into[key] = list(rows.values())
            sources.update({f"{path}.{_name(row)}": file for row in value})
        else:
            into[key] = value
            sources[path] = file


def _name(row: Any) -> str:
    return str(row.get("path")) if isinstance(row, dict) else ""


SCHEMA = Path(__file__).with_name("policies") / "policy.schema.json"


def schema_text() -> str:
    """JSON Schema of a whole rule file; one that ``extends`` another may leave out any part."""
    made = msgspec.json.schema(PolicyForm)
    body = made["$defs"]["PolicyForm"]
    body["properties"]["extends"] = {"type": "string", "description": "Profile that this file builds on."}
    required = body.pop("required")
    body["anyOf"] = [{"required": ["extends", "apiVersion", "profile", "version"]}, {"required": required}]
    for part in ("Hl7Form", "FhirForm", "TextForm", "Defaults"):
        made["$defs"][part].pop("required", None)
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **made}, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema_text(), "utf-8")
