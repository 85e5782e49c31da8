"""The public cases of Microsoft's Tools for Health Data Anonymization under our rules: every difference has a reason.

Each case is an input, a configuration (``fhirPathRules``) and the tool's output. The configuration is carried over on the profile
``expert`` (both shift dates), the input goes through de-identification, and every path is judged: kept, changed, gone or new.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from agents.deidentify.fhir_path_rules import carry_over
from agents.deidentify.form import read_file
from agents.deidentify.policy import compile_policy
from agents.deidentify.promise import broken
from agents.deidentify.step import Deidentifier
from schemas.errors import ConfigurationError, UnsupportedContent
from tests.support.deid import clean_fhir

DATA = Path(os.environ.get("WARDSTREAM_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))
SOURCE = DATA / "fhir_ms_anonymizer_cases" / "FHIR" / "src"
TESTS = SOURCE / "Microsoft.Health.Fhir.Anonymizer.Shared.FunctionalTests"
UNITS = SOURCE / "Microsoft.Health.Fhir.Anonymizer.Shared.Core.UnitTests"
TARGETS = sorted(path for path in TESTS.rglob("*-target.json") if "Stu3" not in str(path))

pytestmark = pytest.mark.skipif(not TARGETS, reason="fhir_ms_anonymizer_cases is not there (WARDSTREAM_DATA)")

#: Part of the case's name -> its configuration; the first that fits.
CONFIGURATIONS = {
    "redact-all": "redact-all-config",
    "no-partial": "common-no-partial-config",
    "generalize": "generalize-patient-config",
    "substitute-conflict-rules": "substitute-conflict-rules",
    "substitute-multiple-2": "substitute-multiple-2",
    "substitute-multiple": "substitute-multiple",
    "substitute-primitive": "substitute-primitive",
    "substitute": "substitute-complex",
    "": "common-config",
}

#: (path, theirs, ours) -> why. The first row that fits explains.
REASONS: tuple[tuple[str, str, str, str], ...] = (
    (r"(.*\.)?meta\.security\.display", "new", "gone", "we mark PSEUDED once, by code alone"),
    (r"(.*\.)?meta\.security\.system", "gone", "new", "we mark every output, they only what a rule changed"),
    (r"(.*\.)?extension\.(url|valueCode)", "gone", "new", "what FHIR may require carries data-absent-reason masked"),
    (r"(.*\.)?_\w+\.extension\.\w+", "kept|changed", "gone", "extensions go unless the profile lists them"),
    (r"(.*\.)?identifier\.system", "kept", "changed", "a system names the assigning house; ours is the pseudonym domain"),
    (r"(.*\.)?identifier\.value", "kept", "changed|gone", "a number never stays: token, or refused by the promise"),
    (
        r"(.*\.)?identifier\.(assigner\.display|period\.start)",
        "kept|changed",
        "gone",
        "of an identifier only value, type and use stay",
    ),
    (r"(.*\.)?coding\.system", "kept", "changed", "a code system that is not public becomes a number that stands for it"),
    (r"(.*\.)?(id|reference|fullUrl|request\.url)", "kept|gone", "changed", "ids become tokens, in every reference alike"),
    (r"entry\.request\.ifNoneMatch", "kept", "gone", "a version of the source system"),
    (r"meta\.lastUpdated", "changed", "gone", "not a date of the patient: a whole instant under Meta goes"),
    (r"(.*\.)?(telecom|contact\.telecom)\.[a-z.]+", "kept|changed", "gone", "the promise: nothing of a contact stays"),
    (r"(.*\.)?name\.[a-zA-Z_.]+", "kept|changed|new", "gone", "the promise: nothing of a name stays, no fixed name is put in"),
    (r"(.*\.)?address\.(state|postalCode)", "kept|changed", "gone|changed", "not a US state or ZIP code, or three digits of one"),
    (
        r"(.*\.)?address\.(city|district|line|text|period\.start|use|type)",
        "kept|changed",
        "gone",
        "smaller than a state, or where(...)",
    ),
    (r"text\.(div|status)", "kept", "gone", "a narrative that cannot be read goes with its status"),
    (r"birthDate", "kept", "changed", "they keep what no rule names; ours shifts"),
    (r"birthDate|deceasedDateTime|multipleBirthInteger", "changed", "gone", "generalize: taken out"),
    (
        r"communication\.language\.coding\.code",
        "changed",
        "kept",
        "a language is no identifier; generalize of a code is not carried",
    ),
    (r"contact\.period\.start", "changed", "kept|gone", "generalize of a year; a year alone stays"),
)
#: Where the configuration redacts whole resources, ours keeps what the profile keeps.
REDACT_ALL = "no rule is for whole resources; the profile decides what no rule names"
REFUSED = {
    "MedicinalProduct-target.json": "a resource of R4 that R4B no longer has",
    "bundle-basic-target.json": "a bundle of two patients is one message of nobody",
    "bundle-redact-all-target.json": "a bundle of two patients is one message of nobody",
    "bundle-substitute-target.json": "a bundle of two patients is one message of nobody",
}


def configuration(name: str) -> Path:
    if name[0].isupper():
        return SOURCE / "Microsoft.Health.Fhir.Anonymizer.R4.FunctionalTests" / "r4-configuration-sample.json"
    return TESTS / "Configurations" / (next(file for part, file in CONFIGURATIONS.items() if part in name) + ".json")


def source(target: Path) -> Path:
    path = target.with_name(target.name.replace("-target", ""))
    if path.exists():
        return path
    name = target.name.replace("-redact-all-target", "")
    return next(p for p in (target.with_name(name), target.with_name(name.replace(".json", "-basic.json"))) if p.exists())


@cache
def deidentifier(config: Path, folder: Path) -> Deidentifier:
    path = folder / f"{config.stem}.yaml"
    path.write_text(carry_over(config.read_bytes(), "expert").text)
    return Deidentifier(compile_policy(read_file(path)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rules")


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, child in value.items():
            yield from leaves(child, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for child in value:
            yield from leaves(child, path)
    else:
        yield path, str(value)


def judged(before: Any, after: Any) -> dict[str, str]:
    """Path -> kept, changed, gone or new."""
    rows: tuple[dict[str, list[str]], dict[str, list[str]]] = ({}, {})
    for row, document in zip(rows, (before, after), strict=True):
        for path, value in leaves(document):
            row.setdefault(path, []).append(value)
    old, new = rows
    return {
        path: "gone" if path not in new else "new" if path not in old else "kept" if old[path] == new[path] else "changed"
        for path in old.keys() | new.keys()
    }


def reason(case: str, path: str, theirs: str, ours: str) -> str | None:
    if "redact-all" in case and theirs == "gone":
        return REDACT_ALL
    for pattern, a, b, why in REASONS:
        if re.fullmatch(pattern, path) and theirs in a.split("|") and ours in b.split("|"):
            return why
    return None


@pytest.mark.parametrize("target", TARGETS, ids=lambda path: path.name)
def test_every_difference_from_the_tool_has_a_reason(target: Path, folder: Path) -> None:
    """Same input, same rules: where the outputs differ a row of the table says why."""
    step = deidentifier(configuration(target.name), folder)
    before = json.loads(source(target).read_text("utf-8-sig"))
    raw = json.dumps(before).encode()
    if target.name in REFUSED:
        with pytest.raises(UnsupportedContent):
            clean_fhir(raw, using=step)
        return
    theirs = judged(before, json.loads(target.read_text("utf-8-sig")))
    ours = judged(before, json.loads(clean_fhir(raw, using=step).payload))
    differences = {(path, theirs.get(path, "gone"), ours.get(path, "gone")) for path in theirs.keys() | ours.keys()}
    unexplained = sorted(row for row in differences if row[1] != row[2] and reason(target.name, *row) is None)
    assert unexplained == []


def test_every_reason_is_needed(folder: Path) -> None:
    """A row of the table that explains nothing is out of date."""
    used: set[str] = set()
    for target in TARGETS:
        if target.name in REFUSED:
            continue
        before = json.loads(source(target).read_text("utf-8-sig"))
        step = deidentifier(configuration(target.name), folder)
        theirs = judged(before, json.loads(target.read_text("utf-8-sig")))
        ours = judged(before, json.loads(clean_fhir(json.dumps(before).encode(), using=step).payload))
        for path in theirs.keys() | ours.keys():
            a, b = theirs.get(path, "gone"), ours.get(path, "gone")
            if a != b and (why := reason(target.name, path, a, b)):
                used.add(why)
    assert [why for *_, why in REASONS if why not in used] == []


@pytest.mark.parametrize("profile", ["safe_harbor", "expert", "limited", "internal"])
def test_the_shipped_sample_keeps_every_promise(profile: str, tmp_path: Path) -> None:
    """The tool's own sample configuration on each profile makes a file that lint accepts, and what differs is listed."""
    made = carry_over(
        (SOURCE / "Microsoft.Health.Fhir.Anonymizer.R4.CommandLineTool" / "configuration-sample.json").read_bytes(), profile
    )
    path = tmp_path / "site.yaml"
    path.write_text(made.text)
    assert list(broken(read_file(path).form)) == []
    assert made.carried > 100
    assert "Organization.telecom" in {row.path for row in made.differences}


@pytest.mark.parametrize("name", ["configuration-miss-rules", "configuration-unsupported-method"])
def test_broken_configurations_are_refused(name: str) -> None:
    """Without rules, or with a method that the tool does not have."""
    with pytest.raises(ConfigurationError):
        carry_over((UNITS / "TestConfigurations" / f"{name}.json").read_bytes(), "safe_harbor")


@pytest.mark.parametrize(
    ("name", "accepted"), [("R4", True), ("empty", True), ("null", False), ("Stu3", False), ("invalid", False)]
)
def test_only_r4_is_carried_over(name: str, accepted: bool) -> None:
    """Configurations of other FHIR versions name other elements; the file with a null in its name is no JSON."""
    raw = (UNITS / "TestConfigurationsVersion" / f"configuration-{name}-version.json").read_bytes()
    if accepted:
        assert carry_over(raw, "safe_harbor").text
    else:
        with pytest.raises(ConfigurationError):
            carry_over(raw, "safe_harbor")
