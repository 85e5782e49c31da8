"""The Bundle: one resource for each assertion, flags with their basis, nothing confirmed, nothing lost in validation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.publish.ai_transparency import CONFIDENCE
from agents.publish.bundle import build_bundle, render
from agents.publish.check import Checker
from agents.publish.subject import pseudonymous
from schemas.clinical import Coding
from schemas.errors import Poison, Reason
from schemas.fhir.validate import validate
from schemas.findings import Assertion, Findings, MentionType
from schemas.flags import Decision
from tests.support.decide import DAY, TOKEN, findings, note, tied
from tests.support.publish import clinical_message, decided

GOLDEN = Path(__file__).parents[1] / "golden" / "publish"


def resources(decision: Decision) -> list[dict[str, Any]]:
    bundle = json.loads(render(decision))
    return [entry["resource"] for entry in bundle["entry"]]


def of(kind: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [resource for resource in found if resource["resourceType"] == kind]


def one(kind: MentionType, assertion: Assertion, *, section: str = "") -> list[dict[str, Any]]:
    message = findings(1, 0, **note("some words here", ("words", kind, assertion), section=section))
    wanted = {"Patient", "Device", "DocumentReference", "Provenance"}
    return [r for r in resources(Decision(id=message.id, findings=message)) if r["resourceType"] not in wanted]


def status(resource: dict[str, Any], element: str) -> str:
    return str(resource[element]["coding"][0]["code"])


@pytest.mark.parametrize(
    ("assertion", "certainty", "clinical"),
    [
        (Assertion(), "unconfirmed", "active"),
        (Assertion(negated=True), "refuted", None),
        (Assertion(possible=True), "provisional", "active"),
        (Assertion(historical=True), "unconfirmed", "inactive"),
        (Assertion(historical=True, negated=True), "refuted", None),
    ],
)
def test_problems(assertion: Assertion, certainty: str, clinical: str | None) -> None:
    """A problem is a Condition that says how sure the note is, and never confirmed."""
    (condition,) = one("problem", assertion)
    assert condition["resourceType"] == "Condition"
    assert status(condition, "verificationStatus") == certainty
    assert ("clinicalStatus" in condition) == (clinical is not None)
    if clinical:
        assert status(condition, "clinicalStatus") == clinical


@pytest.mark.parametrize("kind", ["problem", "finding", "medication", "procedure", "test"])
def test_hypothetical_mentions_are_not_published(kind: MentionType) -> None:
    """ "Return if ..." is no statement about the patient."""
    assert one(kind, Assertion(hypothetical=True)) == []


def test_family() -> None:
    """Another person's problem is family history; another person's absent problem or medication is nothing."""
    (history,) = one("problem", Assertion(family=True))
    assert history["resourceType"] == "FamilyMemberHistory"
    assert one("problem", Assertion(family=True, negated=True)) == []
    assert one("medication", Assertion(family=True)) == []


@pytest.mark.parametrize(
    ("assertion", "expected"),
    [
        (Assertion(), "active"),
        (Assertion(negated=True), "not-taken"),
        (Assertion(historical=True), "stopped"),
        (Assertion(possible=True), "unknown"),
    ],
)
def test_medications(assertion: Assertion, expected: str) -> None:
    """The status says what the note says of taking it."""
    (statement,) = one("medication", assertion)
    assert (statement["resourceType"], statement["status"]) == ("MedicationStatement", expected)


@pytest.mark.parametrize(("negated", "expected"), [(False, "unconfirmed"), (True, "refuted")])
def test_allergies(negated: bool, expected: str) -> None:
    """A medication in the allergy section is an allergy, unconfirmed or refuted."""
    (allergy,) = one("medication", Assertion(negated=negated), section="allergies")
    assert allergy["resourceType"] == "AllergyIntolerance"
    assert status(allergy, "verificationStatus") == expected


@pytest.mark.parametrize(("kind", "element"), [("problem", "Condition"), ("finding", "Observation")])
def test_where_it_is(kind: MentionType, element: str) -> None:
    """The place of a problem or finding is its body site, in the note's words."""
    rest = note("ache in the left knee", ("ache", kind, None), ("left knee", "anatomy", None))
    rest["relations"] = (tied("finding-body_site", *rest["mentions"]),)
    message = findings(1, 0, **rest)
    (found,) = of(element, resources(Decision(id=message.id, findings=message)))
    assert found["bodySite"] == ([{"text": "left knee"}] if element == "Condition" else {"text": "left knee"})


def test_a_linked_code_is_marked() -> None:
    """What an index linked was chosen by nobody; what the message states stays as stated."""
    rest = note("asthma", ("asthma", "problem", None))
    stated = Coding(system="http://example.org/a", code="1")
    linked = Coding(system="http://example.org/b", code="2", inferred="index", score=0.9)
    rest["mentions"] = tuple(msgspec.structs.replace(mention, codes=(stated, linked)) for mention in rest["mentions"])
    message = findings(1, 0, **rest)
    (condition,) = of("Condition", resources(Decision(id=message.id, findings=message)))
    assert [coding.get("userSelected") for coding in condition["code"]["coding"]] == [None, False]


def test_an_allergy_with_its_reaction_stays_an_allergy() -> None:
    """Only a dose makes a drug under ALLERGIES one that is taken."""
    rest = note("Penicillin (hives)", ("Penicillin", "medication", None), ("hives", "finding", None), section="allergies")
    rest["relations"] = (tied("medication-adverse_event", *rest["mentions"]),)
    message = findings(1, 0, **rest)
    kinds = [r["resourceType"] for r in resources(Decision(id=message.id, findings=message))]
    assert "AllergyIntolerance" in kinds
    assert "MedicationStatement" not in kinds


@pytest.mark.parametrize(("negated", "expected"), [(False, True), (True, False)])
def test_findings(negated: bool, expected: bool) -> None:
    """A sign is a preliminary Observation that is present or absent."""
    (observation,) = one("finding", Assertion(negated=negated))
    assert (observation["status"], observation["valueBoolean"]) == ("preliminary", expected)


def test_a_dose_stands_with_its_medication_and_a_value_with_its_test() -> None:
    """Relations become dosage text and values."""
    found = resources(decided())
    statement = next(r for r in of("MedicationStatement", found) if r["medicationCodeableConcept"]["text"] == "amoxicillin")
    dose = {"value": 500, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}
    assert statement["dosage"] == [
        {"text": "500 mg by mouth", "route": {"text": "by mouth"}, "doseAndRate": [{"doseQuantity": dose}]}
    ]
    test = next(r for r in of("Observation", found) if r["code"]["text"] == "Potassium")
    assert test["valueString"] == "4.1"


def test_every_statement_is_labelled_placed_and_owned() -> None:
    """AIAST, an identifier, the subject, and for each mention the document and offsets that show it."""
    found = resources(decided())
    patient = f"urn:uuid:{found[0]['id']}"
    (document,) = of("DocumentReference", found)
    text = clinical_message().notes[0].text
    said = [r for r in found if r["resourceType"] not in ("Patient", "Device", "DocumentReference", "Provenance")]
    said = [r for r in said if r.get("code", {}).get("text") != "Creatinine"]  # the sender's own statement
    assert said
    for resource in said:
        assert resource["meta"]["security"][0]["code"] == "AIAST"
        assert resource["identifier"][0]["system"] == "urn:x-nlp"
        assert (resource.get("subject") or resource["patient"])["reference"] == patient
    for resource in (r for r in said if r["resourceType"] != "DetectedIssue"):
        parts = {part["url"]: part for part in resource["extension"][0]["extension"]}
        assert parts["document"]["valueReference"]["reference"] == f"urn:uuid:{document['id']}"
        begin, end = parts["begin"]["valueUnsignedInt"], parts["end"]["valueUnsignedInt"]
        words = json.dumps(resource.get("code") or resource.get("medicationCodeableConcept") or resource["condition"])
        assert text[begin:end] in words


def test_who_made_it_is_said_as_the_ai_guide_says_it() -> None:
    """Every maker is an AI of a kind, each agent has the role, each mention its confidence."""
    found = resources(decided())
    kinds = {r["type"]["text"]: r["extension"][0]["valueCodeableConcept"]["coding"][0]["code"] for r in of("Device", found)}
    assert kinds["flag rules"] == "Rule-Based-Systems"
    assert kinds["entity model"] == "Deep-Learning-Models"
    assert {r["type"]["coding"][0]["code"] for r in of("Device", found)} == {"Artificial-Intelligence"}
    (provenance,) = of("Provenance", found)
    assert len(provenance["agent"]) == len(kinds)
    assert {agent["role"][0]["coding"][0]["code"] for agent in provenance["agent"]} == {"Artificial-Intelligence"}
    for resource in of("Condition", found) + of("MedicationStatement", found):
        (said,) = [e for e in resource["extension"] if e["url"] == CONFIDENCE]
        assert 0 <= said["valueDecimal"] <= 1


@pytest.mark.parametrize(
    ("assertion", "expected"),
    [(Assertion(), "unknown"), (Assertion(historical=True), "completed"), (Assertion(negated=True), "not-done")],
)
def test_procedures(assertion: Assertion, expected: str) -> None:
    """A procedure is done only where the note speaks of the past."""
    (procedure,) = one("procedure", assertion)
    assert (procedure["resourceType"], procedure["status"]) == ("Procedure", expected)


def test_a_flag_shows_its_basis() -> None:
    """Inputs, numbers, limits, what was not considered, citation and the rule's Device."""
    found = resources(decided())
    issue = next(r for r in of("DetectedIssue", found) if r["code"]["coding"][0]["code"] == "aki.kdigo")
    rules = next(r for r in of("Device", found) if r["type"]["text"] == "flag rules")
    assert issue["status"] == "preliminary"
    assert issue["author"]["reference"] == f"urn:uuid:{rules['id']}"
    assert issue["reference"].startswith("https://")
    assert [row["code"][0]["text"] for row in issue["evidence"]] == ["Creatinine: 1.9 mg/dL", "Creatinine: 1.0 mg/dL"]
    numbers = {
        part["extension"][1]["valueString"]: part["extension"][2]["valueDecimal"]
        for part in issue["extension"]
        if part["url"].endswith("/basis")
    }
    assert numbers["rise in 48 h"] in (79.56, 26.5)
    assert "urine output" in {part.get("valueString") for part in issue["extension"]}
    allergy = next(r for r in of("DetectedIssue", found) if r["code"]["coding"][0]["code"] == "ALGY")
    assert allergy["severity"] == "high"


def test_a_withdrawn_flag_is_a_cancelled_issue_that_names_the_first() -> None:
    """Consumers find what to take back by identifier."""
    decision = decided()
    (flag, *_) = decision.flags
    first = next(r for r in of("DetectedIssue", resources(decision)) if r["code"]["coding"][0]["code"] == flag.type)
    back = msgspec.structs.replace(flag, id="11111111-1111-5111-8111-111111111111", supersedes=flag.id, withdrawn=True)
    (issue,) = of("DetectedIssue", resources(msgspec.structs.replace(decision, flags=(back,))))
    assert issue["status"] == "cancelled"
    earlier = next(e["valueIdentifier"]["value"] for e in issue["extension"] if e["url"].endswith("/supersedes"))
    assert earlier == first["identifier"][0]["value"]


def test_a_score_is_a_risk_assessment() -> None:
    """A model's probability is published as one."""
    decision = decided()
    scored = msgspec.structs.replace(decision.flags[0], score=0.83, kind="model")
    (risk,) = of("RiskAssessment", resources(msgspec.structs.replace(decision, flags=(scored,))))
    assert (risk["status"], risk["prediction"][0]["probabilityDecimal"]) == ("preliminary", 0.83)


def test_the_pseudonymous_bundle_tells_no_date_but_receipt() -> None:
    """Minutes on the patient's clock in place of dates; the only instants are those at which the message was received."""
    bundle = render(decided()).decode()
    assert bundle.count("2026-03-02T10:15:00.000Z") == 2  # Bundle.timestamp, Provenance.recorded
    assert bundle.count("2026-") == 2
    assert "identifiedDateTime" not in bundle
    assert TOKEN in bundle


def test_nothing_found_is_a_result_too() -> None:
    """A message without findings gives a valid Bundle without statements."""
    message = findings(1, 0)
    found = resources(Decision(id=message.id, findings=message))
    assert {r["resourceType"] for r in found} == {"Patient", "Device"}


def test_equal_decisions_give_equal_bytes() -> None:
    """Replay overwrites: no clock and no randomness in what is published."""
    assert render(decided()) == render(decided())


def test_what_is_not_fhir_is_not_published() -> None:
    """An instant that is none is a coded refusal that repeats nothing."""
    message = clinical_message()
    bad = msgspec.structs.replace(message, time="yesterday, Ada said")
    with pytest.raises(Poison) as caught:
        render(decided(bad))
    assert caught.value.reason is Reason.OUTPUT_INVALID
    assert "Ada" not in str(caught.value)


def test_a_used_checker_says_the_same() -> None:
    """The memory of shapes never lets an invalid resource through that a full validation refuses."""
    checker = Checker()
    decision = decided()
    render(decision, checker=checker)
    bundle = build_bundle(decision, pseudonymous(decision.findings))
    validate(bundle)
    checker.check(bundle)
    issue = next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "DetectedIssue")
    for broken in (issue | {"status": "bogus"}, issue | {"colour": "red"}, issue | {"detail": ""}, issue | {"detail": 7}):
        with pytest.raises(Poison):
            checker.check(bundle | {"entry": [{"fullUrl": f"urn:uuid:{issue['id']}", "resource": broken}]})


def test_golden_bundle() -> None:
    """The whole Bundle as a person can read it; after a wanted change: delete the file and run the test twice."""
    text = json.dumps(json.loads(render(decided())), indent=1, ensure_ascii=False) + "\n"
    file = GOLDEN / "bundle.json"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        pytest.fail("the golden file was missing and has been written: read it, then run again")
    assert text == file.read_text("utf-8")


def test_mentions_of_a_long_stay() -> None:
    """Minutes beyond FHIR's integers are left out instead of making the Bundle invalid."""
    message: Findings = msgspec.structs.replace(clinical_message(), elapsed=2**40)
    assert render(Decision(id=message.id, findings=message, flags=decided().flags))
    assert DAY
