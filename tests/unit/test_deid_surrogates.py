"""Surrogates: look real, are nobody's, and are the same for one patient everywhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from agents.deidentify.form import read_file
from agents.deidentify.policy import compile_policy, load_policy_file
from agents.deidentify.promise import broken
from agents.deidentify.step import Deidentifier, make_deidentifier
from agents.deidentify.surrogates import Surrogates, names
from agents.deidentify.text.protect import NOT_NAMES
from agents.deidentify.text.spans import ID, NAME, PHONE
from schemas.deidentified import to_original
from schemas.errors import ConfigurationError
from schemas.hl7.er7 import parse
from streams.settings import Settings
from tests.support.deid import IDENTIFIERS, NOTE, ORU, bundle, clean, clean_fhir, patient_resource, report, vault_on

RULES = """
apiVersion: deid/v1
extends: expert
profile: expert
version: "1"
hl7: {datatypes: {XPN: {1: surrogate, 2: surrogate, 3: surrogate, 7: code}}}
fhir: {types: {HumanName: {use: keep, family: surrogate, given: surrogate}}}
text: {replace: surrogate}
"""


@pytest.fixture(scope="module")
def step(tmp_path_factory: pytest.TempPathFactory) -> Deidentifier:
    path = tmp_path_factory.mktemp("rules") / "site.yaml"
    path.write_text(RULES)
    return Deidentifier(load_policy_file(path), authorities={"NORTHGATE": "urn:oid:1.2.840.99"})


def test_one_patient_has_one_surrogate_name_everywhere(step: Deidentifier) -> None:
    """Field, note and resource agree, whichever came first, and nothing of the person is left."""
    vault = vault_on()
    resource = clean_fhir(bundle(patient_resource(), report("Jonas Quillfeather rests.")), vault=vault, using=step)
    message = parse(clean(ORU, vault=vault, using=step).payload)
    pid = message.first("PID")
    assert pid is not None
    family, given = pid.get(5), pid.get(5, component=2)
    entries = json.loads(resource.payload)["entry"]
    assert entries[0]["resource"]["name"][0]["family"] == family
    assert entries[0]["resource"]["name"][0]["given"][0] == given
    assert entries[1]["resource"]["conclusion"] == f"{given} {family} rests."
    assert f"Mr. {family} (MRN " in message.all("OBX")[1].get(5)
    for payload in (message.encode(), resource.payload):
        assert [found for found in IDENTIFIERS if found.encode() in payload] == []
        assert "\ufdd0".encode() not in payload


def test_the_map_leads_back_to_the_original_spans(step: Deidentifier) -> None:
    """Surrogates have lengths of their own; offsets of the clean note still lead to what they replaced."""
    result = clean(ORU, using=step)
    (path, spans), *_ = result.map.notes.items()
    text = "\n".join(NOTE)
    note = "\n".join(segment.get(5) for segment in parse(result.payload).all("OBX")[1:])
    assert path.startswith("OBX[2]")
    for word, type_ in (("chest pain", None), ("metformin", None)):
        start = note.index(word)
        a, b = to_original(spans, start, start + len(word))
        assert text[a:b] == word, type_
    found = [text[span.start : span.end] for span in spans if span.type == "NAME"]
    assert found[0] == "Quillfeather"
    assert all("\ufdd0" not in one.replacement for rows in result.redactions.values() for one in rows)


@pytest.mark.parametrize(
    ("kind", "written", "shape"),
    [
        (NAME, "QUILLFEATHER, JONAS P.", r"[A-Z]+, [A-Z]+ [A-Z]\."),
        (NAME, "jonas", r"[a-z]+"),
        (ID, "100-200-300", r"\d{3}-\d{3}-\d{3}"),
        (ID, "Ab12x", r"[A-Z][a-z]\d\d[a-z]"),
        (PHONE, "(555) 010-1234", r"\(\d{3}\) \d{3}-\d{4}"),
    ],
)
def test_shape_stays_and_value_does_not(kind: str, written: str, shape: str) -> None:
    """Case, digits and separators as written; the same again for the same patient, other for another."""
    made = Surrogates(())
    made.mark(kind, written)
    (one,), (again,), (other,) = made.chosen(1_000_001), made.chosen(1_000_001), made.chosen(77)
    assert re.fullmatch(shape, one)
    assert one == again != written
    assert other != one


def test_nothing_between_the_words_can_break_a_message() -> None:
    """Line ends, markup and separators that stood inside a span become blanks."""
    made = Surrogates(())
    made.mark(NAME, "Anna\nMaria|Ng^&~\\<b>")
    made.mark(ID, "100#200\r300")
    for text in made.chosen(5, "|^~\\&#"):
        assert not set(text) & set("\n\r|^~\\&#<>")


def test_a_surrogate_is_never_a_name_of_the_message() -> None:
    """With all names but one taken every person gets that one."""
    taken = frozenset(name.casefold() for name in names()) - {"rowan"}
    made = Surrogates(taken)
    made.mark(NAME, "Quillfeather")
    assert {made.chosen(secret)[0] for secret in range(300, 400)} == {"Rowan"}
    assert not {name.casefold() for name in names()} & NOT_NAMES


def test_safe_harbor_has_no_surrogates(tmp_path: Path) -> None:
    """They are derived from what they replace: 164.514(c)."""
    path = tmp_path / "site.yaml"
    path.write_text(RULES.replace("expert", "safe_harbor"))
    found = {one.rule for one in broken(read_file(path).form)}
    assert {"text.replace", "hl7.datatypes.XPN.1", "fhir.types.HumanName.family"} <= found
    with pytest.raises(ConfigurationError):
        compile_policy(read_file(path))


def test_a_site_runs_its_own_rules(tmp_path: Path) -> None:
    """``deid.rules_file`` replaces the shipped file; it must be for the profile that the settings name."""
    path = tmp_path / "site.yaml"
    path.write_text(RULES)
    settings = Settings.model_validate({"deid": {"profile": "expert", "rules_file": str(path), "use_model": False}})
    assert make_deidentifier(settings).policy_version == load_policy_file(path).version
    with pytest.raises(ConfigurationError):
        make_deidentifier(Settings.model_validate({"deid": {"rules_file": str(path), "use_model": False}}))
