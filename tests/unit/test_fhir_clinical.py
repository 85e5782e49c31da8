"""Notes, facts and coverage of FHIR resources; texts and numbers are invented for these tests."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any

import pytest

from schemas.clinical import Coding, Fact
from schemas.fhir.clinical import fact_time_paths, read_clinical, read_leaf, replace_part, time_path
from schemas.fhir.json import decode

LOINC = "http://loinc.org"


def concept(code: str, display: str = "", system: str = LOINC, **rest: Any) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": display}], **rest}


def attachment(text: str | bytes, kind: str = "text/plain") -> dict[str, Any]:
    raw = text.encode() if isinstance(text, str) else text
    return {"contentType": kind, "data": base64.b64encode(raw).decode(), "size": len(raw), "hash": "aGFzaA=="}


def facts(resource: dict[str, Any]) -> tuple[Fact, ...]:
    return read_clinical(resource).facts


POTASSIUM = decode(
    b"""{"resourceType":"Observation","id":"k1","meta":{"versionId":"3"},"status":"final",
    "category":[{"coding":[{"code":"laboratory"}]}],
    "code":{"coding":[{"system":"http://loinc.org","code":"2823-3","display":"Potassium"}],"text":"K"},
    "effectiveDateTime":"2024-01-02T03:04:05Z","issued":"2024-01-02T04:00:00Z","encounter":{"reference":"Encounter/e1"},
    "valueQuantity":{"value":6.70,"comparator":">","unit":"mmol/L","system":"http://unitsofmeasure.org","code":"mmol/L"},
    "interpretation":[{"coding":[{"code":"HH"}]}],
    "referenceRange":[{"low":{"value":3.5},"high":{"value":5.1,"unit":"mmol/L"}}]}"""
)


def test_a_laboratory_result_keeps_number_unit_range_and_version() -> None:
    """The number stays exact, the id is the resource's, the version rises with versionId."""
    (fact,) = facts(POTASSIUM)
    assert str(fact.value) == "6.70"
    assert (fact.kind, fact.id, fact.path) == ("lab", "Observation/k1", "Observation.valueQuantity")
    assert (fact.comparator, fact.unit, fact.reference_range, fact.interpretation) == (">", "mmol/L", "3.5-5.1 mmol/L", ("HH",))
    assert fact.codes == (Coding(system=LOINC, code="2823-3", display="Potassium"),)
    assert fact.time == "2024-01-02T03:04:05Z"
    assert fact_time_paths(POTASSIUM) == {"Observation.valueQuantity": "Observation.effectiveDateTime"}
    assert read_clinical(POTASSIUM).encounter == "e1"


def test_a_correction_wins_whatever_arrives_first() -> None:
    """Higher versionId wins, and at one versionId the later status; entered in error retracts."""

    def version(versionid: str, status: str) -> int:
        return facts({**POTASSIUM, "meta": {"versionId": versionid}, "status": status})[0].version

    assert version("3", "final") < version("3", "corrected") < version("4", "preliminary")
    (withdrawn,) = facts({**POTASSIUM, "status": "entered-in-error"})
    assert withdrawn.retracted
    assert withdrawn.version > version("3", "corrected")


def test_a_withdrawn_result_without_a_value_is_still_a_fact() -> None:
    """A retraction need not repeat what it retracts."""
    bare = {key: value for key, value in POTASSIUM.items() if key != "valueQuantity"}
    assert facts(bare) == ()
    assert facts({**bare, "status": "entered-in-error"})[0].retracted


def test_components_are_facts_of_their_own() -> None:
    """Blood pressure gives two vital signs with ids that stay the same in a correction."""
    pressure = {
        "resourceType": "Observation",
        "id": "bp",
        "status": "final",
        "code": concept("85354-9"),
        "effectivePeriod": {"start": "2024-01-02"},
        "component": [
            {"code": concept("8480-6"), "valueQuantity": {"value": 120, "unit": "mmHg"}},
            {"code": concept("8462-4"), "valueQuantity": {"value": 80, "unit": "mmHg"}},
        ],
    }
    found = facts(pressure)
    assert [(fact.kind, fact.id, fact.value) for fact in found] == [
        ("vital", "Observation/bp/8480-6", Decimal(120)),
        ("vital", "Observation/bp/8462-4", Decimal(80)),
    ]
    assert set(fact_time_paths(pressure).values()) == {"Observation.effectivePeriod.start"}


def test_the_phq9_answer_list_is_read_as_a_score() -> None:
    """Coded answers of LL358-3 count 0 to 3, in observations and in questionnaires whose linkId is the LOINC code."""
    answer = {"system": LOINC, "code": "LA6570-1", "display": "More than half the days"}
    response = {
        "resourceType": "QuestionnaireResponse",
        "id": "q",
        "status": "completed",
        "authored": "2024-01-02",
        "item": [{"linkId": "/44249-1", "item": [{"linkId": "/44249-1/44260-8", "answer": [{"valueCoding": answer}]}]}],
    }
    single = {
        "resourceType": "Observation",
        "status": "final",
        "code": concept("44260-8"),
        "valueCodeableConcept": {"coding": [answer]},
    }
    for resource in (response, single):
        (fact,) = facts(resource)
        assert (fact.kind, fact.value, fact.codes[0].code) == ("score", Decimal(2), "44260-8")
    assert facts(response)[0].id == "QuestionnaireResponse/q/44260-8"


@pytest.mark.parametrize(
    ("element", "value", "text", "number"),
    [
        ("valueString", "positive", "positive", None),
        ("valueBoolean", True, "true", None),
        ("valueInteger", 4, "", Decimal(4)),
        ("valueRange", {"low": {"value": 1}, "high": {"value": 2, "unit": "d"}}, "1-2 d", None),
        ("valueRatio", {"numerator": {"value": 1}, "denominator": {"value": 128}}, "1:128", None),
        ("valueCodeableConcept", {"text": "Growth"}, "Growth", None),
    ],
)
def test_every_kind_of_value_is_read(element: str, value: Any, text: str, number: Decimal | None) -> None:
    """Numbers become numbers, everything else what people read."""
    (fact,) = facts({"resourceType": "Observation", "status": "final", "code": concept("1-8"), element: value})
    assert (fact.text, fact.value) == (text, number)


def test_running_text_as_a_value_is_a_note_and_no_fact() -> None:
    """Four words and more are read as text."""
    resource = {
        "resourceType": "Observation",
        "status": "final",
        "code": concept("1-8"),
        "valueString": "No growth after five days",
    }
    clinical = read_clinical(resource)
    assert clinical.facts == ()
    assert [(note.path, note.text) for note in clinical.notes] == [("Observation.valueString", "No growth after five days")]


def test_problems_allergies_procedures_and_medications() -> None:
    """Each resource gives its kind of fact with its codes and status."""
    rxnorm = "http://www.nlm.nih.gov/research/umls/rxnorm"
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"resource": resource}
            for resource in (
                {"resourceType": "Condition", "id": "c", "clinicalStatus": concept("active"), "code": {"text": "Asthma"}},
                {"resourceType": "Condition", "id": "d", "verificationStatus": concept("refuted"), "code": {"text": "Gout"}},
                {
                    "resourceType": "AllergyIntolerance",
                    "id": "a",
                    "verificationStatus": concept("confirmed"),
                    "clinicalStatus": concept("active"),
                    "criticality": "high",
                    "reaction": [{"substance": concept("7980", "Penicillin", rxnorm), "manifestation": [concept("1", "Rash")]}],
                },
                {"resourceType": "Procedure", "id": "p", "status": "not-done", "code": {"text": "Biopsy"}},
                {"resourceType": "Medication", "id": "m", "code": concept("723", "Amoxicillin", rxnorm)},
                {
                    "resourceType": "MedicationRequest",
                    "id": "r",
                    "status": "active",
                    "medicationReference": {"reference": "Medication/m"},
                    "dosageInstruction": [{"doseAndRate": [{"doseQuantity": {"value": 500, "unit": "mg"}}]}],
                },
                {"resourceType": "Immunization", "id": "i", "status": "completed", "vaccineCode": {"text": "MMR"}},
            )
        ],
    }
    found = {fact.id: fact for fact in facts(bundle)}
    assert [(name, fact.kind, fact.text, fact.status) for name, fact in found.items()] == [
        ("Condition/c", "problem", "Asthma", "active"),
        ("Condition/d", "problem", "Gout", "refuted"),
        ("AllergyIntolerance/a", "allergy", "Penicillin", "active"),
        ("Procedure/p", "procedure", "Biopsy", "not-done"),
        ("MedicationRequest/r", "medication", "Amoxicillin", "active"),
        ("Immunization/i", "medication", "MMR", "completed"),
    ]
    assert found["AllergyIntolerance/a"].value_codes[0].display == "Rash"
    assert found["MedicationRequest/r"].codes[0].code == "723"
    assert (found["MedicationRequest/r"].value, found["MedicationRequest/r"].unit) == (Decimal(500), "mg")


def test_a_contained_result_belongs_to_its_report() -> None:
    """Its id holds the report's, so that two reports' ``#1`` are two facts."""
    report = {
        "resourceType": "DiagnosticReport",
        "id": "rep",
        "status": "final",
        "code": concept("24323-8"),
        "contained": [{**POTASSIUM, "id": "1"}],
    }
    (fact,) = facts(report)
    assert (fact.id, fact.path) == ("DiagnosticReport/rep#1", "DiagnosticReport.contained[0].valueQuantity")


def test_without_any_id_the_fact_id_is_local_to_the_message() -> None:
    """A leading ``#`` says that the id means nothing in another message; a business identifier is used where there is one."""
    bare = {key: value for key, value in POTASSIUM.items() if key != "id"}
    assert facts(bare)[0].id == "#Observation"
    assert facts({**bare, "identifier": [{"system": "urn:lab", "value": "7"}]})[0].id == "Observation/urn:lab|7"


def test_a_redacted_time_keeps_its_path() -> None:
    """Where only ``_issued`` is left with a reason, the fact's time is still found by its path."""
    redacted = {key: value for key, value in POTASSIUM.items() if key not in {"issued", "effectiveDateTime"}}
    redacted["_issued"] = {
        "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}]
    }
    assert fact_time_paths(redacted) == {"Observation.valueQuantity": "Observation.issued"}
    assert facts(redacted)[0].time == ""


def test_text_is_found_wherever_clinicians_write_it() -> None:
    """Attachments, comments, conclusions, messages, instructions and section narratives are notes with their document codes."""
    bundle = {
        "resourceType": "Bundle",
        "entry": [
            {
                "resource": {
                    "resourceType": "DocumentReference",
                    "status": "current",
                    "docStatus": "final",
                    "type": concept("34108-1"),
                    "content": [{"attachment": attachment("Visit note.\r\nCough.")}],
                }
            },
            {
                "resource": {
                    "resourceType": "DiagnosticReport",
                    "status": "final",
                    "code": concept("24627-2"),
                    "conclusion": "No nodules.",
                    "presentedForm": [
                        attachment("<p>Chest CT</p><p>Clear.</p>", "text/html"),
                        attachment(b"%PDF-1.7", "application/pdf"),
                    ],
                }
            },
            {"resource": {"resourceType": "Condition", "note": [{"text": "Worse at night."}]}},
            {"resource": {"resourceType": "Communication", "payload": [{"contentString": "Please call."}]}},
            {"resource": {"resourceType": "MedicationRequest", "dosageInstruction": [{"text": "One tablet daily."}]}},
            {
                "resource": {
                    "resourceType": "Composition",
                    "type": concept("18842-5"),
                    "section": [
                        {
                            "title": "Course",
                            "text": {"status": "generated", "div": "<div><p>Improved.</p></div>"},
                            "section": [{"text": {"status": "additional", "div": "<div>Later</div>"}, "title": "More"}],
                        }
                    ],
                }
            },
            {"resource": {"resourceType": "Binary", "contentType": "text/plain", "data": base64.b64encode(b"Raw note").decode()}},
        ],
    }
    clinical = read_clinical(bundle)
    assert [(note.path.split("resource.")[-1], note.text, note.format) for note in clinical.notes] == [
        ("content[0].attachment.data", "Visit note.\r\nCough.", "plain"),
        ("conclusion", "No nodules.", "plain"),
        ("presentedForm[0].data", "Chest CT\nClear.", "html"),
        ("note[0].text", "Worse at night.", "plain"),
        ("payload[0].contentString", "Please call.", "plain"),
        ("dosageInstruction[0].text", "One tablet daily.", "plain"),
        ("section[0].text.div", "Improved.", "narrative"),
        ("section[0].section[0].text.div", "Later", "narrative"),
        ("data", "Raw note", "plain"),
    ]
    assert clinical.notes[0].codes[0].code == "34108-1"
    assert clinical.notes[6].codes == (Coding(display="Course"),)
    assert clinical.coverage.refused == {"Bundle.entry.resource.presentedForm.data": "malformed_fhir"}


def test_generated_narrative_is_counted_and_not_read() -> None:
    """It repeats the structured data; ``additional`` text says something of its own."""
    div = '<div xmlns="http://www.w3.org/1999/xhtml">Asthma</div>'
    generated = read_clinical({"resourceType": "Condition", "text": {"status": "generated", "div": div}})
    additional = read_clinical({"resourceType": "Condition", "text": {"status": "additional", "div": div}})
    assert generated.notes == ()
    assert generated.coverage.ignored["Condition.text.div"] == 1
    assert [note.text for note in additional.notes] == ["Asthma"]


def test_broken_attachments_are_refused_and_the_message_goes_on() -> None:
    """Bad base64, an unknown charset and a DTD are each counted by path and code."""
    report = {
        "resourceType": "DiagnosticReport",
        "presentedForm": [
            {"contentType": "text/plain", "data": "@@@"},
            attachment(b"\xff\xfe\xfd", "text/plain; charset=utf-8"),
            attachment('<!DOCTYPE x [<!ENTITY a "b">]><ClinicalDocument>&a;</ClinicalDocument>', "text/xml"),
        ],
        "conclusion": "Fine otherwise.",
    }
    clinical = read_clinical(report)
    assert [note.text for note in clinical.notes] == ["Fine otherwise."]
    assert list(clinical.coverage.refused) == ["DiagnosticReport.presentedForm.data"]


def test_coverage_counts_every_leaf_once_and_repeats_no_foreign_name() -> None:
    """Used and ignored together are all leaves; an element that FHIR does not define is counted as unknown."""
    coverage = read_clinical({**POTASSIUM, "smith_john_1950": {"deep": [1, 2]}}).coverage
    leaves = 21
    assert sum(coverage.used.values()) + sum(coverage.ignored.values()) == leaves
    assert "smith" not in str(coverage)
    assert coverage.used["Observation.valueQuantity.value"] == 1
    assert coverage.ignored == {"Observation.???": 1}


@pytest.mark.parametrize("text", ["Clean text", "a < b & c > d\n\n  indented\ttab\r\nend ", "\ufeffmarked", "é 😀 \x85"])
def test_a_replaced_part_reads_back_exactly(text: str) -> None:
    """Offsets of the deid map hold only when the clean message gives the very text that was put in."""
    report: dict[str, Any] = {
        "resourceType": "DiagnosticReport",
        "text": {"status": "additional", "div": "<div><p>One</p></div>"},
        "conclusion": "Two",
        "presentedForm": [attachment("{\\rtf1 Three}", "application/rtf")],
    }
    for note in read_clinical(report).notes:
        replace_part(report, note.parts[0].path, text)
    assert [note.text for note in read_clinical(report).notes] == [text] * 3
    assert report["presentedForm"][0]["contentType"] == "text/plain; charset=utf-8"
    assert not {"size", "hash"} & set(report["presentedForm"][0])


def test_an_emptied_part_disappears() -> None:
    """FHIR has no empty strings."""
    report: dict[str, Any] = {"resourceType": "DiagnosticReport", "conclusion": "Two"}
    replace_part(report, "DiagnosticReport.conclusion", "")
    assert report == {"resourceType": "DiagnosticReport"}


@pytest.mark.parametrize("path", ["DiagnosticReport.note[0].text", "DiagnosticReport.conclusion.x", "DiagnosticReport.missing"])
def test_replacing_what_is_not_there_is_an_error(path: str) -> None:
    """A path of another message is never silently accepted."""
    with pytest.raises(KeyError):
        replace_part({"resourceType": "DiagnosticReport", "conclusion": "Two"}, path, "x")


def test_paths_resolve_to_their_leaf() -> None:
    """What a note or fact calls its path can be read by it."""
    assert read_leaf(POTASSIUM, "Observation.interpretation[0].coding[0].code") == "HH"
    for path in ("", "Observation[0].id", "Observation..id", "Observation.id[x]"):
        with pytest.raises((ValueError, KeyError)):
            replace_part(dict(POTASSIUM), path, "x")


def test_demographics_and_message_time() -> None:
    """Sex and birth year come from the Patient, the message's time from its own timestamp or its first dated resource."""
    patient = {"resourceType": "Patient", "gender": "female", "birthDate": "1950"}
    bundle: dict[str, Any] = {"resourceType": "Bundle", "entry": [{"resource": patient}, {"resource": POTASSIUM}]}
    clinical = read_clinical(bundle)
    assert (clinical.sex, clinical.birth_year, clinical.kind) == ("female", 1950, "Bundle")
    assert time_path(bundle) == "Bundle.entry[1].resource.issued"
    assert clinical.time == "2024-01-02T04:00:00Z"
    assert read_clinical({**bundle, "timestamp": "2024-02-02T00:00:00Z"}).time == "2024-02-02T00:00:00Z"
