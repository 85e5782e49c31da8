"""Relations, sides, onsets and durations as FHIR says them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import msgspec
import pytest

from agents.publish.bundle import build_bundle, render
from agents.publish.dosage import duration
from agents.publish.links import DUE_TO
from agents.publish.names import ELAPSED
from agents.publish.subject import pseudonymous
from schemas.findings import Assertion, Findings, Onset
from schemas.flags import Decision
from tests.support.decide import DAY, findings, note, tied


def resources(message: Findings) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in json.loads(render(Decision(id=message.id, findings=message)))["entry"]]


def of(kind: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [resource for resource in found if resource["resourceType"] == kind]


def related(kind: str, text: str, *rows: tuple[str, Any, Assertion | None], section: str = "") -> list[dict[str, Any]]:
    rest = note(text, *rows, section=section)
    rest["relations"] = (tied(kind, *rest["mentions"]),)
    return resources(findings(1, 2 * DAY, **rest))


def test_what_a_drug_is_for_is_a_reference_to_it() -> None:
    found = related(
        "medication-reason", "metformin for diabetes", ("metformin", "medication", None), ("diabetes", "problem", None)
    )
    (statement,), (condition,) = of("MedicationStatement", found), of("Condition", found)
    assert statement["reasonReference"] == [{"reference": f"urn:uuid:{condition['id']}", "display": "diabetes"}]
    assert "reasonCode" not in statement


def test_a_reason_that_is_not_published_is_named() -> None:
    """ "ibuprofen if pain": the pain is no statement about the patient, but it is the reason."""
    rows = (("ibuprofen", "medication", None), ("pain", "finding", Assertion(hypothetical=True)))
    (statement,) = of("MedicationStatement", related("medication-reason", "ibuprofen for pain", *rows))
    assert statement["reasonCode"] == [{"text": "pain"}]
    assert "reasonReference" not in statement


def test_what_a_drug_did_names_the_drug() -> None:
    rows = (("amoxicillin", "medication", None), ("angioedema", "problem", None))
    found = related("medication-adverse_event", "amoxicillin caused angioedema", *rows)
    (statement,), (condition,) = of("MedicationStatement", found), of("Condition", found)
    (said,) = [e for e in condition["extension"] if e["url"] == DUE_TO]
    assert said["valueReference"] == {"reference": f"urn:uuid:{statement['id']}", "display": "amoxicillin"}


def test_a_reaction_stands_in_its_allergy() -> None:
    """And the Condition names the allergen, which is no drug that is taken."""
    rows = (("penicillin", "medication", None), ("hives", "problem", None))
    found = related("medication-adverse_event", "penicillin - hives", *rows, section="allergies")
    (allergy,), (condition,) = of("AllergyIntolerance", found), of("Condition", found)
    assert allergy["reaction"] == [{"manifestation": [{"text": "hives"}]}]
    (said,) = [e for e in condition["extension"] if e["url"] == DUE_TO]
    assert said["valueCodeableConcept"] == {"text": "penicillin"}


@pytest.mark.parametrize("told", [Assertion(negated=True), Assertion(hypothetical=True), Assertion(family=True)])
def test_what_did_not_happen_is_no_reaction(told: Assertion) -> None:
    rows = (("penicillin", "medication", None), ("hives", "problem", told))
    (allergy,) = of("AllergyIntolerance", related("medication-adverse_event", "penicillin - hives", *rows, section="allergies"))
    assert "reaction" not in allergy


@pytest.mark.parametrize("text", ["allergic to penicillin", "allergy to nuts and penicillin 500 mg", "has a penicillin allergy"])
def test_what_is_called_an_allergy_is_one_in_any_section(text: str) -> None:
    found = resources(findings(1, 0, **note(text, ("penicillin", "medication", None))))
    assert of("AllergyIntolerance", found)
    assert not of("MedicationStatement", found)


def test_what_is_given_in_an_allergy_section_is_no_allergy() -> None:
    """A run-in section runs on into what is given: rules and resources read it in the same way."""
    text = "No known allergies. Started on lisinopril, penicillin rash"
    rest = note(text, ("lisinopril", "medication", None), ("penicillin", "medication", None), section="allergies")
    found = resources(findings(1, 0, **rest))
    assert [one["code"]["text"] for one in of("AllergyIntolerance", found)] == ["penicillin"]
    assert [one["medicationCodeableConcept"]["text"] for one in of("MedicationStatement", found)] == ["lisinopril"]


@pytest.mark.parametrize("order", ["event-before", "event-after", "event-overlap"])
def test_the_order_of_events_is_published_nowhere(order: str) -> None:
    """With the relation or without it, the Bundle says the same of the two."""
    rest = note("rash after amoxicillin", ("rash", "problem", None), ("amoxicillin", "medication", None))
    plain = resources(findings(1, 0, **rest))
    rest["relations"] = (tied(order, *rest["mentions"]),)
    told = resources(findings(1, 0, **rest))
    for kind in ("Condition", "MedicationStatement"):
        assert of(kind, told) == of(kind, plain) != []


def test_a_duration_bounds_its_timing() -> None:
    rest = note("amoxicillin daily for 7 days", ("amoxicillin", "medication", None), ("daily", "frequency", None),
                ("for 7 days", "duration", None))  # fmt: skip
    drug, often, long = rest["mentions"]
    long = msgspec.structs.replace(long, period="P7D")
    rest |= {
        "mentions": (drug, often, long),
        "relations": (tied("medication-frequency", drug, often), tied("medication-duration", drug, long)),
    }
    (statement,) = of("MedicationStatement", resources(findings(1, 0, **rest)))
    bounds = {"value": 7, "unit": "d", "system": "http://unitsofmeasure.org", "code": "d"}
    assert statement["dosage"] == [
        {"text": "daily for 7 days", "timing": {"repeat": {"boundsDuration": bounds}, "code": {"text": "daily"}}}
    ]


@pytest.mark.parametrize(
    ("period", "code"), [("P3W", "wk"), ("P1M", "mo"), ("PT5M", "min"), ("PT4H", "h"), ("P2Y", "a"), ("P5D", "d")]
)
def test_periods_have_the_units_of_ucum(period: str, code: str) -> None:
    """M before T is a month, behind it a minute."""
    found = duration(period)
    assert found is not None
    assert found["code"] == code


@pytest.mark.parametrize("period", ["", "P", "P1Y2M", "PT3D", "P3H", "P-1D", "P1.5D", "3 weeks"])
def test_other_periods_are_none(period: str) -> None:
    assert duration(period) is None


def sided(kind: Any, text: str, words: str, *site: tuple[str, Any, Assertion | None]) -> list[dict[str, Any]]:
    rest = note(text, (words, kind, None), *site)
    head, *tails = rest["mentions"]
    rest["mentions"] = (msgspec.structs.replace(head, laterality="left"), *tails)
    rest["relations"] = tuple(tied("finding-body_site", head, tail) for tail in tails)
    return resources(findings(1, 0, **rest))


@pytest.mark.parametrize(("kind", "resource"), [("problem", "Condition"), ("finding", "Observation"), ("procedure", "Procedure")])
def test_a_side_qualifies_the_body_site(kind: Any, resource: str) -> None:
    """mCODE's extension with its SNOMED CT qualifier, beside the words of the site, or alone where no site is named."""
    qualifier = {"system": "http://snomed.info/sct", "code": "7771000", "display": "Left"}
    for sites, words in (((("knee", "anatomy", None),), "knee"), ((), "left")):
        (found,) = of(resource, sided(kind, "left thing of the knee", "thing", *sites))
        site = found["bodySite"] if resource == "Observation" else found["bodySite"][0]
        assert site["text"] == words
        (side,) = site["extension"]
        assert side["url"].endswith("/us/mcode/StructureDefinition/mcode-laterality-qualifier")
        assert side["valueCodeableConcept"] == {"coding": [qualifier], "text": "left"}


def begun(onset: Onset, kind: Any = "problem", *, original: bool = False) -> dict[str, Any]:
    rest = note("gout for 3 days", ("gout", kind, None))
    rest["mentions"] = (msgspec.structs.replace(rest["mentions"][0], onset=onset),)
    message = findings(1, 10 * DAY, **rest)
    subject = dataclasses.replace(pseudonymous(message), original=original)
    bundle = build_bundle(Decision(id=message.id, findings=message), subject)
    return next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] in ("Condition", "Observation"))


def test_an_onset_is_told_in_the_note_s_words_and_on_the_patient_s_clock() -> None:
    condition = begun(Onset(words="for 3 days", start=5, end=15, ago="P3D"))
    assert condition["onsetString"] == "for 3 days"
    assert condition["_onsetString"]["extension"] == [{"url": ELAPSED, "valueInteger": 7 * DAY}]


def test_months_and_open_times_have_no_minute() -> None:
    """A month has no fixed length: the words say all there is."""
    for ago in ("P3M", ""):
        condition = begun(Onset(words="for months", start=5, end=15, ago=ago))
        assert condition["onsetString"] == "for months"
        assert "_onsetString" not in condition


def test_an_age_is_an_age() -> None:
    condition = begun(Onset(words="at the age of 12", start=5, end=15, age=12))
    assert condition["onsetAge"] == {"value": 12, "unit": "a", "system": "http://unitsofmeasure.org", "code": "a"}
    assert "onsetString" not in condition


def test_a_finding_has_a_note() -> None:
    """R4 gives an Observation no onset."""
    assert begun(Onset(words="for 3 days", start=5, end=15), "finding")["note"] == [{"text": "Onset: for 3 days"}]


@pytest.mark.parametrize(("kind", "element"), [("problem", "onsetString"), ("finding", "note")])
def test_words_of_de_identification_are_not_released(kind: Any, element: str) -> None:
    """A date that was shifted is true on the patient's shifted calendar and nowhere else."""
    shifted = Onset(words="since 2019", start=5, end=15, replaced=True)
    assert element in begun(shifted, kind)
    assert element not in begun(shifted, kind, original=True)
