"""FHIR resources through the whole step."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from schemas.errors import UnsupportedContent
from schemas.message import parse, read_clinical
from tests.support.deid import IDENTIFIERS, bundle, clean_fhir, patient_resource, report


def through(resource: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(clean_fhir(json.dumps(resource).encode()).payload)
    return found


def valid(resource: dict[str, Any]) -> None:
    get_fhir_model_class(resource["resourceType"]).model_validate(resource)


NOTE = "Jonas Quillfeather, MRN 100200300, seen 2024-01-02. Long QT. Metformin 500 mg."


def test_what_safe_harbor_leaves_of_a_patient() -> None:
    """Gender, birth year, state, ZIP3; tokens for ids; nothing else."""
    result = clean_fhir(json.dumps(patient_resource()).encode())
    out = json.loads(result.payload)
    assert out["id"] == out["identifier"][0]["value"] == result.subject
    assert (out["gender"], out["birthDate"]) == ("male", "1950")
    assert out["address"] == [{"state": "OH", "postalCode": "441", "country": "USA"}]
    assert {"name", "telecom"}.isdisjoint(out)
    valid(out)


def test_a_bundle_keeps_its_links() -> None:
    """References, full URLs and ids lead to the same resources as before, under tokens."""
    result = clean_fhir(bundle(patient_resource(), report(NOTE)))
    out = json.loads(result.payload)
    patient, diagnostic = (entry["resource"] for entry in out["entry"])
    assert diagnostic["subject"] == {"reference": f"Patient/{patient['id']}"}
    assert out["entry"][0]["fullUrl"].endswith(f"/Patient/{patient['id']}")
    assert "ehr.example.org" not in result.payload.decode()
    valid(out)


def test_uuid_links_stay_uuid_links() -> None:
    """``urn:uuid:`` references are rewritten to another uuid, the same everywhere."""
    name = "urn:uuid:0f1e2d3c-0000-4000-8000-000000000001"
    root = {
        "resourceType": "Bundle", "type": "transaction",
        "entry": [
            {"fullUrl": name, "resource": patient_resource(), "request": {"method": "POST", "url": "Patient"}},
            {"resource": report(NOTE, subject={"reference": name}), "request": {"method": "PUT", "url": "DiagnosticReport/rep-8001"}},
        ],
    }  # fmt: skip
    out = through(root)
    first, second = out["entry"]
    assert first["fullUrl"] == second["resource"]["subject"]["reference"] != name
    assert first["request"]["url"] == "Patient"
    assert second["request"]["url"] == f"DiagnosticReport/{second['resource']['id']}"
    valid(out)


def test_no_identifier_survives_in_a_bundle() -> None:
    """Names, numbers, addresses and dates are gone from every element, text and attachment."""
    attachment = {"contentType": "text/plain", "data": base64.b64encode(NOTE.encode()).decode(), "title": "Quillfeather.txt"}
    payload = bundle(patient_resource(), report(NOTE, presentedForm=[attachment]))
    result = clean_fhir(payload)
    out = result.payload.decode()
    data = json.loads(result.payload)["entry"][1]["resource"]["presentedForm"][0]
    opened = base64.b64decode(data["data"]).decode()
    assert opened == "[NAME], MRN [ID], seen [DATE 2024]. Long QT. Metformin 500 mg."
    assert [text for text in IDENTIFIERS if text.casefold() in (out + opened).casefold()] == []


def test_an_attachment_that_nothing_opens_is_withheld() -> None:
    """A picture, and a PDF that is none, leave without their data and title, and the report says why."""
    for kind, why in (("image/png", "unsupported_content_type"), ("application/pdf", "malformed_fhir")):
        form = {"contentType": kind, "data": "JVBERi0xLjQ=", "url": "https://x.example/1.pdf", "title": "Quillfeather"}
        result = clean_fhir(json.dumps(report(NOTE, presentedForm=[form])).encode())
        assert json.loads(result.payload)["presentedForm"] == [{"contentType": kind}]
        assert result.coverage.refused == {"DiagnosticReport.presentedForm.data": why}


def test_unknown_elements_and_extensions_are_dropped_and_counted() -> None:
    """What FHIR does not define, and extensions that the policy does not name, go."""
    result = clean_fhir(
        json.dumps(
            patient_resource(nickname="Quilly", extension=[{"url": "http://x.example/e", "valueString": "secret"}])
        ).encode()
    )
    assert b"Quilly" not in result.payload
    assert b"secret" not in result.payload
    assert result.coverage.redacted["Patient.???"] == 1
    assert result.coverage.redacted["Patient.extension"] == 1


def test_extensions_that_the_policy_names_stay() -> None:
    """US Core birth sex is no identifier."""
    url = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex"
    assert through(patient_resource(extension=[{"url": url, "valueCode": "M"}]))["extension"] == [{"url": url, "valueCode": "M"}]


def test_a_modifier_extension_is_refused() -> None:
    """It changes the meaning of its resource and may not be ignored, so nothing passes."""
    with pytest.raises(UnsupportedContent) as raised:
        clean_fhir(
            json.dumps(patient_resource(modifierExtension=[{"url": "http://x.example/not", "valueBoolean": True}])).encode()
        )
    assert raised.value.path == "Patient.modifierExtension"


def test_required_elements_that_must_go_are_masked() -> None:
    """The instant of a Provenance is required and more than a year: it says that it is masked, and the resource stays valid."""
    out = through(
        {
            "resourceType": "Provenance", "target": [{"reference": "Patient/1"}], "recorded": "2024-01-02T03:04:05Z",
            "agent": [{"who": {"reference": "Practitioner/2", "display": "Dr. Stone"}}],
        }
    )  # fmt: skip
    assert "recorded" not in out
    assert out["_recorded"]["extension"][0]["valueCode"] == "masked"
    assert "Stone" not in json.dumps(out)
    valid(out)


def test_a_required_object_that_must_go_holds_what_its_type_requires() -> None:
    """A signature is taken out whole; the contract's signer must have one, which must have a type, a time and a signer."""
    signature = {"type": [{"code": "1.2.840.10065.1.12.1.1"}], "when": "2017-02-08T10:57:34+01:00",
                 "who": {"reference": "RelatedPerson/1", "display": "Jonas Quillfeather"}}  # fmt: skip
    party = {"reference": "Patient/1", "display": "Jonas Quillfeather"}
    out = through({"resourceType": "Contract", "signer": [{"type": {"code": "HPROV"}, "party": party, "signature": [signature]}]})
    (left,) = out["signer"][0]["signature"]
    assert "Quillfeather" not in json.dumps(out)
    assert left["_when"]["extension"][0]["valueCode"] == left["who"]["extension"][0]["valueCode"] == "masked"
    valid(out)


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ({"valueBase64Binary": "Sm9uYXM="}, {"valueString": "[REDACTED]"}),
        ({"valueString": "Jonas"}, {"valueString": "[REDACTED]"}),
    ],
)
def test_a_required_choice_that_must_go_leaves_one_of_the_choice(value: dict[str, str], left: dict[str, str]) -> None:
    """Validators look for a value there and do not take the companion of one."""
    agent, source = {"requestor": True}, {"observer": {"reference": "Device/1"}}
    detail = {"type": "MSH-10", **value}
    out = through({"resourceType": "AuditEvent", "type": {"code": "rest"}, "recorded": "2024-01-02T03:04:05Z", "agent": [agent],
                   "source": source, "entity": [{"detail": [detail]}]})  # fmt: skip
    assert {key: child for key, child in out["entity"][0]["detail"][0].items() if key.startswith("value")} == left
    valid(out)


def test_a_required_value_that_its_sender_did_not_know_stays_masked() -> None:
    """The sender's reason is an extension that no rule names; without anything in its place the resource would not be valid."""
    unknown = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}
    out = through({"resourceType": "Observation", "_status": unknown, "code": {"text": "x"}})
    assert out["_status"]["extension"][0]["valueCode"] == "masked"
    valid(out)


@pytest.mark.parametrize(
    ("resource", "path", "left"),
    [
        (patient_resource(contact=[{"relationship": [{"text": "wife"}], "name": {"family": "Thistlewood"}}]), "contact", "name"),
        (patient_resource(contact=[{"relationship": [{"text": "wife"}], "telecom": [{"value": "5550104321"}]}]), "contact", "telecom"),
        ({"resourceType": "Appointment", "status": "booked",
          "participant": [{"status": "accepted", "actor": {"display": "Dr. Stonebridge"}}]}, "participant", "actor"),
        ({"resourceType": "Patient", "contained": [{"resourceType": "Organization", "name": "Northgate Clinic"}],
          "managingOrganization": {"reference": "#"}}, "contained", "_name"),
    ],
)  # fmt: skip
def test_where_fhir_asks_for_one_of_several_elements_one_is_masked(resource: dict[str, Any], path: str, left: str) -> None:
    """Invariants pat-1, app-1 and org-1: validators of other systems refuse a contact, participant or organization about nobody."""
    out = through(resource)
    (holder,) = out[path]
    value = holder[left][0] if isinstance(holder[left], list) else holder[left]
    assert value["extension"][0]["valueCode"] == "masked"
    assert [text for text in (*IDENTIFIERS, "Northgate") if text in json.dumps(out)] == []
    valid(out)


def test_a_contact_of_which_nothing_is_left_goes_whole() -> None:
    """A mask stands only beside something."""
    assert "contact" not in through(patient_resource(contact=[{"name": {"family": "Thistlewood"}}]))


def test_a_section_without_its_text_still_has_an_entry() -> None:
    """Invariant cmp-1; a narrative cannot carry the reason why it is not there."""
    section = {"title": "Plan", "text": {"status": "generated", "div": 7}}
    out = through({"resourceType": "Composition", "status": "final", "type": {"text": "x"}, "date": "2024-01-02", "title": "x",
                   "author": [{"display": "Dr. Stonebridge"}], "section": [section]})  # fmt: skip
    assert out["section"][0]["entry"][0]["extension"][0]["valueCode"] == "masked"
    valid(out)


@pytest.mark.parametrize("hidden", ["Quillfeather", {"family": "Quillfeather"}, ["Quillfeather"]])
def test_a_resource_type_where_no_resource_stands_is_dropped(hidden: Any) -> None:
    """Only resources have one: anywhere else it is an unknown element, in which anything may be written."""
    component = {"resourceType": hidden, "code": {"text": "x", "resourceType": hidden}, "valueBoolean": True}
    out = through({"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "component": [component]})
    assert out["component"] == [{"code": {"text": "x"}, "valueBoolean": True}]


def test_contained_resources_get_neutral_names() -> None:
    """Local ids are names that senders choose."""
    medication = {"resourceType": "Medication", "id": "jonas-med", "code": {"text": "Metformin"}}
    out = through(
        {
            "resourceType": "MedicationStatement", "status": "active", "contained": [medication],
            "medicationReference": {"reference": "#jonas-med"}, "subject": {"reference": "Patient/1"},
        }
    )  # fmt: skip
    assert out["contained"][0]["id"] == "c1"
    assert out["medicationReference"] == {"reference": "#c1"}
    valid(out)


def test_numbers_keep_their_digits() -> None:
    """Values are written as they were, an age over 89 as 90."""

    def observation(code: str, value: str) -> bytes:
        coding = '{"system":"http://loinc.org","code":"' + code + '"}'
        head = '{"resourceType":"Observation","status":"final","code":{"coding":[' + coding + "]},"
        return (head + '"valueQuantity":{"value":' + value + ',"unit":"a"}}').encode()

    assert b'"value":5.90,' in clean_fhir(observation("2823-3", "5.90")).payload
    assert b'"value":90,' in clean_fhir(observation("30525-0", "94")).payload


def test_notes_keep_their_paths_when_items_before_them_go() -> None:
    """The map speaks of places in the clean resource, also where an earlier item was dropped."""
    note = [{"text": "Seen with Jonas Quillfeather today."}]
    root = report(NOTE, result=[{"display": "only a name"}, {"reference": "Observation/1"}], conclusion=NOTE)
    payload = bundle(
        patient_resource(),
        {**root, "presentedForm": [{"contentType": "text/plain", "data": base64.b64encode(note[0]["text"].encode()).decode()}]},
    )
    result = clean_fhir(payload)
    out = parse("application/fhir+json", result.payload)
    assert {n.path for n in read_clinical(out).notes} == set(result.map.notes)


def test_times_travel_as_minutes() -> None:
    """The report's instant is gone from the message, and its place in the patient's time is kept."""
    result = clean_fhir(bundle(patient_resource(), report(NOTE)))
    times = result.map.times
    assert times["Bundle.entry[1].resource.issued"] - times["Bundle.entry[1].resource.effectiveDateTime"] == 56
    assert not any("birthDate" in path for path in times)
    assert json.loads(result.payload)["entry"][1]["resource"]["effectiveDateTime"] == "2024"


def test_an_extension_with_a_url_of_another_type_is_dropped() -> None:
    """Found by fuzzing: an object where the url should be ended in a TypeError instead of a result or a code."""
    out = through(patient_resource(extension=[{"url": {"resourceType": "Nope"}, "valueString": "x"}]))
    assert "extension" not in out
