"""Profiles beside Safe Harbor: what stays in each, and that nobody is known by it."""

from __future__ import annotations

import base64
import json
import re
from datetime import date
from functools import cache
from pathlib import Path

import jsonschema
import pytest
import yaml

from agents.deidentify import form
from agents.deidentify.clock import shift_days
from agents.deidentify.form import read_file, read_profile
from agents.deidentify.policy import load_policy, load_policy_file
from agents.deidentify.promise import broken
from agents.deidentify.step import Deidentifier
from agents.deidentify.text.recognizers.date import day_of
from schemas.envelope import HL7_V2
from schemas.errors import ConfigurationError, LeakDetected, MalformedMessage, Reason
from schemas.fhir.validate import validate
from schemas.hl7.er7 import parse
from tests.support.deid import IDENTIFIERS, ORU, bundle, clean, clean_fhir, patient_resource, report, vault_on

DAY, WEEK = 24 * 60, 7 * 24 * 60
PROFILES = ("safe_harbor", "expert", "limited", "internal")
#: Of the identifiers of the shared messages, those that a limited data set may keep.
PLACES = {"Barton", "44123", "19500102"}


@cache
def step(profile: str) -> Deidentifier:
    return Deidentifier(load_policy(profile))


def fhir_message() -> bytes:
    note = base64.b64encode(b"Visit 3 January 2024, all well.").decode()
    text = "Seen 2024-01-02, again on January 5, 2024 at noon."
    return bundle(patient_resource(), report(text, presentedForm=[{"contentType": "text/plain", "data": note}]))


@pytest.mark.parametrize("profile", PROFILES)
def test_direct_identifiers_go_in_every_profile(profile: str) -> None:
    """Names, contacts, numbers and the street survive in none, in either format."""
    may_stay = PLACES if profile in ("limited", "internal") else set()
    for out in (clean(ORU, using=step(profile)).payload, clean_fhir(fhir_message(), using=step(profile)).payload):
        text = out.decode()
        assert [found for found in IDENTIFIERS if found in text and found not in may_stay] == []
        assert "\ufdd0" not in text


@pytest.mark.parametrize("profile", ["expert", "limited"])
def test_a_repeated_rule_differs_only_in_dates(profile: str) -> None:
    """A rule is replaced as a whole, so OBX-5 stands in each file again; what it does with other types is what Safe Harbor does."""
    (mine, base) = ({row.path: row for row in read_profile(name).form.hl7.fields}["OBX-5"] for name in (profile, "safe_harbor"))
    assert {kind for kind in base.cases.keys() | mine.cases.keys() if mine.cases.get(kind) != base.cases.get(kind)} == {
        "DT",
        "TS",
        "DTM",
    }
    assert (mine.by, mine.default) == (base.by, base.default)


_MARKS = "Seen 2024-01-02 \ufdd07\ufdd1 \ufdd0\ufdd1 \ufdd0p9\ufdd1"


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("writing", ["JSON escape", "JSON escape in a code", "attachment", "XML entity"])
def test_a_mark_that_the_sender_wrote_is_refused_in_any_writing(profile: str, writing: str) -> None:
    """The noncharacters that stand for tokens are refused in escapes and attachments too; they stopped a stage that shifts dates."""
    entities = "".join(f"&#{ord(c)};" for c in _MARKS)
    cda = f"<ClinicalDocument><component><section><text>{entities}</text></section></component></ClinicalDocument>"
    changes: dict[str, object] = {
        "JSON escape": {"conclusion": _MARKS},
        "JSON escape in a code": {"code": {"coding": [{"system": "http://loinc.org", "code": "\ufdd07\ufdd1"}]}},
        "attachment": {"presentedForm": [{"contentType": "text/plain", "data": base64.b64encode(_MARKS.encode()).decode()}]},
        "XML entity": {"presentedForm": [{"contentType": "text/xml", "data": base64.b64encode(cda.encode()).decode()}]},
    }
    with pytest.raises(MalformedMessage) as caught:
        clean_fhir(json.dumps({**report("x"), **changes[writing]}).encode(), using=step(profile))  # type: ignore[dict-item]
    assert caught.value.reason is Reason.UNDECODABLE_CHARSET


def test_text_that_only_looks_like_an_escaped_mark_passes() -> None:
    """A backslash that is text itself escapes nothing."""
    assert "ufdd0" in clean_fhir(json.dumps(report("font \\ufdd0 missing")).encode()).payload.decode()


@pytest.mark.parametrize("profile", PROFILES)
def test_output_stays_valid(profile: str) -> None:
    """HL7 parses and the resource has no fault, instants included."""
    assert parse(clean(ORU, using=step(profile)).payload).first("PID") is not None
    validate(json.loads(clean_fhir(fhir_message(), using=step(profile)).payload))  # raises


def test_a_limited_data_set_keeps_dates_city_and_zip() -> None:
    """45 CFR 164.514(e)(2): town, state, ZIP code and dates are none of the sixteen."""
    message = parse(clean(ORU, using=step("limited")).payload)
    pid = message.first("PID")
    assert pid is not None
    assert (pid.get(7), pid.raw(11), message.header.get(7)) == ("19500102", "^^Barton^OH^44123^USA^H", "20240102030405+0000")
    resource = json.loads(clean_fhir(fhir_message(), using=step("limited")).payload)["entry"][1]["resource"]
    assert resource["issued"] == "2024-01-02T04:00:00Z"
    assert resource["conclusion"] == "Seen 2024-01-02, again on January 5, 2024 at noon."


def test_internal_use_names_the_house_of_care() -> None:
    """Facility and ward stay for operations; under Safe Harbor they go."""
    payload = clean(ORU, using=step("internal")).payload
    assert b"|NORTHGATE|" in payload
    assert b"W2^201^1^NORTHGATE" in payload
    assert b"NORTHGATE" not in clean(ORU, using=step("safe_harbor")).payload


def test_an_age_over_89_goes_but_where_the_profile_keeps_it() -> None:
    """Expert caps and drops the birth year, limited keeps both."""
    old = ORU.replace(b"19500102", b"19300102").replace(b"since 2019", b"aged 94 years")
    capped, kept = clean(old, using=step("expert")).payload, clean(old, using=step("limited")).payload
    assert b"[AGE 90+]" in capped
    assert re.search(rb"\|19[23]\d", capped) is None
    assert b"aged 94 years" in kept
    assert b"|19300102|" in kept


def test_one_shift_over_both_formats_and_text() -> None:
    """Every date of a patient moves by the same whole weeks, in fields, notes, resources and attachments, in any order."""
    for backwards in (False, True):
        vault = vault_on()
        jobs = [(clean, ORU), (clean_fhir, fhir_message())]
        done = [job(payload, vault=vault, using=linked()) for job, payload in (reversed(jobs) if backwards else jobs)]
        hl7, fhir = reversed(done) if backwards else done
        assert hl7.subject == fhir.subject
        text = hl7.payload.decode()
        found = json.loads(fhir.payload)["entry"]
        note = base64.b64decode(found[1]["resource"]["presentedForm"][0]["data"]).decode()
        moved = [
            (date.fromisoformat(new) - date.fromisoformat(old)).days
            for new, old in (
                (_iso(parse(hl7.payload).header.get(7)), "2024-01-02"),
                (re.findall(r"seen on (\S+)", text)[0], "2024-01-03"),
                (re.findall(r"DOB (\S+)\)", text)[0], "1950-01-02"),
                (found[0]["resource"]["birthDate"], "1950-01-02"),
                (found[1]["resource"]["issued"][:10], "2024-01-02"),
                (found[1]["resource"]["conclusion"][5:15], "2024-01-02"),
                (note[6:16], "2024-01-03"),
            )
        ]
        assert len(set(moved)) == 1
        assert moved[0] % 7 == 0
        assert 0 < abs(moved[0]) <= 364


def test_the_map_and_the_spans_hold_after_the_shift() -> None:
    """The clean note read with the map gives the original spans; what replaced a date is the shifted date."""
    result = clean(ORU, using=step("expert"))
    assert all("\ufdd0" not in one.replacement for found in result.redactions.values() for one in found)
    message = parse(result.payload)
    text = message.all("OBX")[1].get(5)
    (spans,) = [spans for path, spans in result.map.notes.items() if "OBX[2]" in path]
    assert [text[s.clean_start : s.clean_end] for s in spans if s.type == "DATE"] == re.findall(r"\d{4}-\d\d-\d\d", text)


def test_a_birthday_that_survives_is_still_caught_under_a_shift() -> None:
    """The gate looks for the day of birth while shifted days are marks, so that chance does not hide a leak."""
    prepared = step("expert").prepare(HL7_V2, ORU)
    assert prepared.before is not None
    with pytest.raises(LeakDetected):
        prepared.before.check(["born 1950-01-02"])


def test_a_control_number_made_of_the_clock_is_no_leak_where_times_stay() -> None:
    """Feeds number messages by the time; under Safe Harbor that number is still looked for."""
    message = ORU.replace(b"MSG0000001", b"20240102030405").replace(b"20240102030405+0000", b"20240102030405")
    assert b"|20240102030405||ORU" in clean(message, using=step("limited")).payload
    prepared = step("safe_harbor").prepare(HL7_V2, message)
    with pytest.raises(LeakDetected):
        prepared.gate.check(["20240102030405"])


def linked() -> Deidentifier:
    """HL7's namespace and FHIR's system are one authority here."""
    return Deidentifier(load_policy("expert"), authorities={"NORTHGATE": "urn:oid:1.2.840.99"})


def _iso(text: str) -> str:
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}"


def test_shifts_are_whole_steps_never_none_and_reach_both_ends() -> None:
    """Every odd number of weeks comes up, as often as every other."""
    weeks = [shift_days(-n * WEEK, max_days=365, multiple_of=7) for n in range(104 * 5)]
    assert set(weeks) == {7 * n for n in range(-51, 52, 2)}
    assert {weeks.count(value) for value in set(weeks)} == {10}
    assert {shift_days(n * DAY, max_days=1, multiple_of=1) for n in range(4)} == {-1, 1}


def test_the_shift_cannot_be_worked_out_from_the_patients_clock() -> None:
    """Shifted date minus minutes on the patient's clock is known to every reader; each such sum comes from every possible shift."""
    sums: dict[int, set[int]] = {}
    for epoch in range(-104 * 3 * WEEK, 0, WEEK):
        days = shift_days(epoch, max_days=365, multiple_of=7)
        sums.setdefault(epoch + days * DAY, set()).add(days)
    assert len(sums) == 6
    assert all(shifts == {7 * n for n in range(-51, 52, 2)} for shifts in sums.values())


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2024-01-02", "2024-01-02"),
        ("2024/1/2 10:30", "2024-01-02"),
        ("20240102", "2024-01-02"),
        ("202401021030", "2024-01-02"),
        ("01/02/2024", "2024-01-02"),
        ("13.02.2024", "2024-02-13"),
        ("January 2nd, 2024", "2024-01-02"),
        ("Tuesday, Jan. 2 2024", "2024-01-02"),
        ("2 January 2024", "2024-01-02"),
        ("2nd day of March, 2024", "2024-03-02"),
        ("01/02/24", None),
        ("January 2024", None),
        ("2024-02-31", None),
        ("Christmas 2023", None),
    ],
)
def test_days_of_written_dates(written: str, expected: str | None) -> None:
    """What does not name a day with a whole year is not shifted; it keeps its tag."""
    found = day_of(written)
    assert (found.isoformat() if found else None) == expected


@pytest.mark.parametrize("profile", PROFILES)
def test_files_have_the_form_that_the_schema_says(profile: str) -> None:
    """Each shipped file, as written, is valid under the JSON Schema beside it."""
    schema = json.loads(form.SCHEMA.read_text())
    assert form.SCHEMA.read_text() == form.schema_text(), "run: python -m agents.deidentify.form"
    document = yaml.safe_load(form.SCHEMA.with_name(f"{profile}.yaml").read_text())
    jsonschema.validate(json.loads(json.dumps(document)), schema)
    document["hl7"]["datatypes"]["TS"] = "forget"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(json.dumps(document)), schema)


@pytest.mark.parametrize(
    ("profile", "rules", "places"),
    [
        ("safe_harbor", "hl7: {datatypes: {TS: shift, XPN: {2: display}}}", ["hl7.datatypes.TS", "hl7.datatypes.XPN.2"]),
        ("safe_harbor", "hl7: {fields: [{path: PID-5, use: term}]}", ["hl7.fields.PID-5"]),
        ("safe_harbor", "hl7: {fields: [{path: PID-19, use: code}]}", ["hl7.fields.PID-19"]),
        (
            "safe_harbor",
            "fhir: {types: {instant: shift, Address: {city: city}}}",
            ["fhir.types.instant", "fhir.types.Address.city"],
        ),
        ("safe_harbor", "fhir: {paths: [{path: Patient.name, use: recurse}]}", ["fhir.paths.Patient.name"]),
        ("safe_harbor", "fhir: {types: {Identifier: {value: keep}}}", ["fhir.types.Identifier.value"]),
        ("safe_harbor", "fhir: {paths: [{path: Encounter.period.start, use: keep}]}", ["fhir.paths.Encounter.period.start"]),
        (
            "safe_harbor",
            "fhir: {paths: [{path: Patient.contact.name.family, use: display}]}",
            ["fhir.paths.Patient.contact.name.family"],
        ),
        ("safe_harbor", "fhir: {paths: [{path: Observation.issued, use: shift}]}", ["fhir.paths.Observation.issued"]),
        ("safe_harbor", "hl7: {datatypes: {SAD: display, FN: term}}", ["hl7.datatypes.SAD", "hl7.datatypes.FN"]),
        ("safe_harbor", "over_89: keep", ["over_89"]),
        ("safe_harbor", "text: {dates: shift}", ["text.dates"]),
        ("safe_harbor", "text: {layers: [model]}", ["text.layers"]),
        ("expert", "text: {dates: keep}", ["text.dates"]),
        ("expert", "hl7: {datatypes: {DT: date}}", ["hl7.datatypes.DT"]),
        ("expert", "shift: {max_days: 400, multiple_of: 7}", ["shift"]),
        ("limited", "hl7: {datatypes: {XTN: code}}", ["hl7.datatypes.XTN"]),
        ("limited", "fhir: {types: {Address: {line: keep}}}", ["fhir.types.Address.line"]),
        ("internal", "hl7: {datatypes: {XCN: {2: display}}}", ["hl7.datatypes.XCN.2"]),
    ],
)
def test_a_broken_promise_is_named_and_refused(tmp_path: Path, profile: str, rules: str, places: list[str]) -> None:
    """Every rule is named with its place; such a file never loads."""
    path = tmp_path / "site.yaml"
    path.write_text(f"apiVersion: deid/v1\nextends: {profile}\nprofile: {profile}\nversion: site-1\n{rules}\n")
    assert sorted(found.rule for found in broken(read_file(path).form)) == sorted(places)
    with pytest.raises(ConfigurationError):
        load_policy_file(path)


def test_a_profile_cannot_be_had_by_another_name(tmp_path: Path) -> None:
    """A file that builds on limited and calls itself Safe Harbor breaks Safe Harbor's promise."""
    path = tmp_path / "site.yaml"
    path.write_text('apiVersion: deid/v1\nextends: limited\nprofile: safe_harbor\nversion: "1"\n')
    assert len(list(broken(read_file(path).form))) > 5


@pytest.mark.parametrize(
    "extra", ["extends: nowhere", "extends: ../safe_harbor", "extra: 1", "hl7: {datatypes: {TS: forget}}", "a: [b"]
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, extra: str) -> None:
    """Unknown bases, keys and methods stop the start."""
    path = tmp_path / "site.yaml"
    base = "" if extra.startswith("extends") else "extends: safe_harbor\n"
    path.write_text(f'apiVersion: deid/v1\n{base}profile: safe_harbor\nversion: "1"\n{extra}\n')
    with pytest.raises(ConfigurationError):
        read_file(path)


def test_a_change_of_the_base_changes_the_version_of_what_extends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest covers every file of the chain."""
    before = read_profile("internal").digest
    for path in form.SCHEMA.parent.glob("*.yaml"):
        text = path.read_text() + ("# reviewed\n" if path.stem == "safe_harbor" else "")
        (tmp_path / path.name).write_text(text)
    monkeypatch.setattr(form.resources, "files", lambda package: tmp_path)
    assert read_profile("internal").digest != before
