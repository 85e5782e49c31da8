"""The rule file, read once into tables. Its version and digest stand in every output's ``deid-policy`` header."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from schemas.errors import ConfigurationError

FOLDER = Path(__file__).with_name("policies")
HL7_METHODS = frozenset(
    {"keep", "keep_first", "redact", "token", "year", "birth_year", "scrub", "address", "coded", "xcn", "cx", "ei", "eip", "by_obx2", "number_only"}
)  # fmt: skip
FHIR_METHODS = frozenset(
    {"keep", "redact", "drop", "token", "year", "birth_year", "scrub", "address", "identifier", "reference", "extension", "attachment",
     "age", "full_url", "request_url", "recurse"}
)  # fmt: skip
#: Datatypes that Safe Harbor never lets stand as they are.
_NEVER_KEPT_HL7 = frozenset(
    {"XPN", "PN", "XAD", "AD", "XTN", "TN", "CX", "XCN", "EI", "TS", "DT", "DTM", "DR", "PL", "ED", "RP", "ST", "FT", "TX"}
)
_NEVER_KEPT_FHIR = frozenset(
    {"HumanName", "Address", "ContactPoint", "Identifier", "date", "dateTime", "instant", "Attachment", "string", "Narrative"}
)


@dataclass(frozen=True, slots=True)
class Policy:
    """``version`` is ``profile/version#digest``; the tables map datatypes, fields, types and paths to method names."""

    version: str
    datatypes: dict[str, str]
    fields: dict[tuple[str, int], str]
    obx2: dict[str, str]
    age_codes: frozenset[str]
    types: dict[str, str]
    paths: dict[tuple[str, str], str]
    extensions: frozenset[str]
    extension_text: frozenset[str]
    restricted_zip3: frozenset[str]

    def zip3(self, code: str) -> str:
        """First three digits, ``000`` for sparsely populated areas; empty for what is no U.S. ZIP code."""
        digits = code.strip()[:5]
        if not (len(digits) == 5 and digits.isdigit()):
            return ""
        return "000" if digits[:3] in self.restricted_zip3 else digits[:3]


@cache
def load_policy(profile: str, folder: Path = FOLDER) -> Policy:
    """Raises ConfigurationError naming the file and the entry that is wrong or that breaks the profile's promise."""
    path = folder / f"{profile}.yaml"
    try:
        raw = path.read_bytes()
        document: dict[str, Any] = yaml.safe_load(raw)
        zips = (folder / document["data"]["restricted_zip3"]).read_text()
        policy = _compile(document, hashlib.sha256(raw + zips.encode()).hexdigest(), zips)
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ConfigurationError(path=path.name, detail=type(error).__name__) from None
    _check(policy, path.name)
    return policy


def _compile(document: dict[str, Any], digest: str, zips: str) -> Policy:
    hl7, fhir = document["hl7"], document["fhir"]
    return Policy(
        version=f"{document['profile']}/{document['version']}#{digest[:12]}",
        datatypes=dict(hl7["datatypes"]),
        fields={(name.partition("-")[0], int(name.partition("-")[2])): method for name, method in hl7["fields"].items()},
        obx2=dict(hl7["obx2"]),
        age_codes=frozenset(hl7["age_codes"]),
        types=dict(fhir["types"]),
        paths={(name.partition(".")[0], name.partition(".")[2]): method for name, method in fhir["paths"].items()},
        extensions=frozenset(fhir["extensions"]),
        extension_text=frozenset(fhir["extension_text"]),
        restricted_zip3=frozenset(word for line in zips.splitlines() if not line.startswith("#") for word in line.split()),
    )


def _check(policy: Policy, name: str) -> None:
    for table, methods in (
        (policy.datatypes, HL7_METHODS),
        (policy.fields, HL7_METHODS),
        (policy.obx2, HL7_METHODS),
        (policy.types, FHIR_METHODS),
        (policy.paths, FHIR_METHODS),
    ):
        for key, method in table.items():
            if method not in methods:
                raise ConfigurationError(path=f"{name}: {key}", detail="unknown method")
    for table, never in ((policy.datatypes, _NEVER_KEPT_HL7), (policy.types, _NEVER_KEPT_FHIR)):
        for key, method in table.items():
            if method == "keep" and key in never:
                raise ConfigurationError(path=f"{name}: {key}", detail="Safe Harbor does not let this datatype stand")
