"""``wardstream deid``: what a privacy officer asks, and what a build asks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agents.deidentify.explain import WORDS, Explainer
from agents.deidentify.form import FHIR_METHODS, HL7_METHODS, read_profile
from agents.deidentify.hl7_rules import Hl7Rules, Leaf
from agents.deidentify.policy import load_policy
from ops.cli import cli
from schemas.errors import ConfigurationError
from tests.support.deid import IDENTIFIERS

BAD = 'apiVersion: deid/v1\nextends: safe_harbor\nprofile: safe_harbor\nversion: "2"\nhl7: {datatypes: {TS: shift}}\n'
CONFIGURATION = {
    "fhirVersion": "R4",
    "fhirPathRules": [
        {"path": "nodesByType('HumanName').use", "method": "keep"},
        {"path": "nodesByType('HumanName')", "method": "redact"},
        {"path": "nodesByType('date')", "method": "dateShift"},
        {"path": "Condition.onset", "method": "redact"},
        {"path": "Patient.name.where(use='x')", "method": "keep"},
        {"path": "Patient.telecom", "method": "keep"},
    ],
}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["deid", *arguments])


def test_every_shipped_profile_keeps_its_promise() -> None:
    """Exit 0, and the versions that outputs will carry."""
    result = run("lint", "--json")
    assert result.exit_code == 0
    said = json.loads(result.output)
    assert said["ok"]
    assert said["versions"]["expert.yaml"] == load_policy("expert").version


def test_lint_names_the_rule_and_fails(tmp_path: Path) -> None:
    """The place in the file and the paragraph, as a table and as JSON."""
    path = tmp_path / "site.yaml"
    path.write_text(BAD)
    result = run("lint", str(path), "--json")
    assert result.exit_code == 1
    (found,) = json.loads(result.output)["broken"]["site.yaml"]
    assert found == {"rule": "hl7.datatypes.TS", "method": "shift", "why": "shifts a date (45 CFR 164.514(b)(2)(i))"}
    table = run("lint", str(path))
    assert table.exit_code == 1
    assert "hl7.datatypes.TS" in table.output


@pytest.mark.parametrize(
    ("path", "profile", "method", "rule", "file"),
    [
        ("PID-5", "safe_harbor", "redact", "hl7.datatypes.XPN", "safe_harbor.yaml"),
        ("PID-7", "safe_harbor", "year", "hl7.datatypes.TS", "safe_harbor.yaml"),
        ("PID-7", "expert", "shift", "hl7.datatypes.TS", "expert.yaml"),
        ("PID[1]-7", "internal", "date", "hl7.datatypes.TS", "limited.yaml"),
        ("PID-11.3", "safe_harbor", "redact", "hl7.datatypes.XAD.3", "safe_harbor.yaml"),
        ("PID-11.3", "limited", "city", "hl7.datatypes.XAD.3", "limited.yaml"),
        ("MSH-10", "limited", "message_token", "hl7.fields.MSH-10", "safe_harbor.yaml"),
        ("ZPI-3", "expert", "drop", "defaults.hl7.z_segment", "safe_harbor.yaml"),
        ("QQQ-1", "expert", "drop", "defaults.hl7.unknown_segment", "safe_harbor.yaml"),
        ("PID-99", "expert", "redact", "defaults.hl7.unknown_field", "safe_harbor.yaml"),
        ("Patient.name.given", "safe_harbor", "redact", "fhir.types.HumanName", "safe_harbor.yaml"),
        ("Patient.name[0].given", "limited", "redact", "fhir.types.HumanName", "safe_harbor.yaml"),
        ("Patient.birthDate", "expert", "shift", "fhir.types.date", "expert.yaml"),
        ("Patient.address.city", "limited", "city", "fhir.types.Address.city", "limited.yaml"),
        ("Patient.photo", "internal", "redact", "fhir.paths.Patient.photo", "safe_harbor.yaml"),
        ("Patient.identifier.type.coding.code", "safe_harbor", "term", "fhir.types.Coding.code", "safe_harbor.yaml"),
        ("Patient.shoeSize", "safe_harbor", "redact", "defaults.fhir.unknown_element", "safe_harbor.yaml"),
        ("Organization.name", "internal", "display", "fhir.paths.Organization.name", "internal.yaml"),
        ("Patient.extension", "safe_harbor", "extension", "fhir.extensions", "safe_harbor.yaml"),
    ],
)
def test_explain_names_rule_file_and_method(path: str, profile: str, method: str, rule: str, file: str) -> None:
    """One path, one rule, and the file of the chain that says it."""
    (row,) = Explainer(read_profile(profile)).explain(path)
    assert (row.method, row.rule, row.file) == (method, rule, file)
    assert row.why.endswith(".")


def test_explain_gives_a_row_for_each_type_of_a_result() -> None:
    """OBX-5 depends on OBX-2, Observation.value on its type."""
    rows = {row.when: row.method for row in Explainer(read_profile("safe_harbor")).explain("OBX-5.1")}
    assert rows["OBX-2 is NM"] == "number"
    assert rows["OBX-2 is DT"] == "year"
    assert rows["anything else"] == "redact"
    values = {row.path: row.method for row in Explainer(read_profile("expert")).explain("Observation.value")}
    assert values["Observation.valueDateTime"] == "shift"
    assert values["Observation.valueString"] == "scrub"


@pytest.mark.parametrize("path", ["", "PID", "pid-5", "Patient", "Nothing.name", "PID-5; drop", "../x"])
def test_what_is_no_path_is_refused(path: str) -> None:
    """With a configuration error, not with an empty answer."""
    with pytest.raises(ConfigurationError):
        Explainer(read_profile("safe_harbor")).explain(path)


def test_every_method_has_words() -> None:
    """No method without a sentence for people."""
    assert set(WORDS) - {"drop"} == HL7_METHODS | FHIR_METHODS


def test_explained_is_what_is_done() -> None:
    """For every field of every segment with one rule the explanation names the method that the compiled table has."""
    policy = load_policy("expert")
    rules, explainer = Hl7Rules(policy.hl7), Explainer(read_profile("expert"))
    checked = 0
    for segment in ("MSH", "PID", "NK1", "PV1", "PV2", "OBR", "ORC", "OBX", "AL1", "DG1", "IN1", "GT1", "TXA", "SCH", "RXA"):
        for row in rules.of(segment) or ():
            if not (isinstance(row.rule, Leaf) or row.rule is None):
                continue
            said = {found.method for found in explainer.explain(row.label)}
            assert said == {row.rule.method if row.rule else "redact"}, row.label
            checked += 1
    assert checked > 150


def test_diff_counts_paths_and_shows_no_value() -> None:
    """Dates shift, nothing else changes, and no name of the samples is printed."""
    result = run("diff", "safe_harbor", "expert", "--json")
    assert result.exit_code == 0
    rows = {row["path"]: row for row in json.loads(result.output)}
    assert rows["PID-7"]["before"] == "year"
    assert rows["PID-7"]["after"] == "shift"
    assert rows["PID-7"]["count"] > 1
    assert all(row["after"] in ("shift", "shift, redact") or path.startswith("(") for path, row in rows.items())
    assert not any(name in result.output for name in IDENTIFIERS)
    assert run("diff", "limited", "limited").output == "nothing changes on these messages\n"


def test_diff_of_a_sites_messages_names_no_key_that_a_sender_chose(tmp_path: Path) -> None:
    """A name in the place of an element is not printed; what cannot be read is passed over."""
    patient = {"resourceType": "Patient", "birthDate": "1950-01-02", "Quillfeather": {"Jonas-1": "x"}}
    (tmp_path / "a.json").write_text(json.dumps(patient))
    (tmp_path / "b.hl7").write_bytes(b"no message")
    result = run("diff", "safe_harbor", "limited", "--messages", str(tmp_path), "--json")
    assert result.exit_code == 0
    rows = {row["path"]: row["count"] for row in json.loads(result.output)}
    assert rows["Patient.birthDate"] == 1
    assert "Quillfeather" not in result.output
    assert "Jonas" not in result.output


def test_import_carries_over_what_it_can_and_lists_the_rest(tmp_path: Path) -> None:
    """The file passes lint; shifted dates become years under Safe Harbor; a kept contact and an expression are listed."""
    source, out = tmp_path / "config.json", tmp_path / "site.yaml"
    source.write_text(json.dumps(CONFIGURATION))
    result = run("import", str(source), "--out", str(out), "--json")
    assert result.exit_code == 1
    listed = {row["path"]: row["effect"] for row in json.loads(result.output)["differences"]}
    assert listed["Patient.name.where(use='x')"] == "not carried"
    assert listed["Patient.telecom"] == "stricter"
    assert listed["nodesByType('date')"] == "stricter"
    assert run("lint", str(out)).exit_code == 0
    assert "Condition.onsetDateTime" in out.read_text()
    expert = run("import", str(source), "--profile", "expert")
    assert "date: shift" in expert.output


def test_import_to_standard_output_is_the_rule_file(tmp_path: Path) -> None:
    """Without --out the rules go to standard output and the list to standard error."""
    source = tmp_path / "config.json"
    source.write_text(json.dumps({"fhirPathRules": [{"path": "Patient.photo", "method": "redact"}]}))
    result = run("import", str(source))
    assert result.exit_code == 0
    assert result.stdout.startswith("# Carried over")


@pytest.mark.parametrize(
    "raw", ["", "{}", "[]", '{"fhirPathRules": []}', '{"fhirPathRules": [{"path": "Patient.id", "method": "x"}]}']
)
def test_import_refuses_what_is_no_configuration(tmp_path: Path, raw: str) -> None:
    """Clear errors, no traceback."""
    source = tmp_path / "config.json"
    source.write_text(raw)
    result = run("import", str(source))
    assert isinstance(result.exception, ConfigurationError)
