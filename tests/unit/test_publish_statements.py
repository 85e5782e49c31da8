"""Why a drug is taken and what an allergy does, from the relations between mentions to the resources that say so."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from agents.publish.bundle import render
from schemas.findings import Assertion, MentionType
from schemas.flags import Decision
from tests.support.decide import findings, note, tied

STATED = {"Condition", "Observation", "MedicationStatement", "AllergyIntolerance", "FamilyMemberHistory"}


def said(
    text: str, *rows: tuple[str, MentionType, Assertion | None], ties: tuple[tuple[str, int, int], ...] = (), section: str = ""
) -> list[dict[str, Any]]:
    """The resources of a note whose mentions are ``rows``, tied by (type, number of the head, number of the tail)."""
    message = findings(1, 0, **note(text, *rows, section=section))
    m = message.mentions
    message = msgspec.structs.replace(message, relations=tuple(tied(kind, m[a], m[b]) for kind, a, b in ties))
    bundle = json.loads(render(Decision(id=message.id, findings=message)))
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] in STATED]


REASON = (("medication-reason", 0, 1),)
EVENT = (("medication-adverse_event", 0, 1),)


def test_the_reason_of_a_medication() -> None:
    """What it is for stands in the statement, and the problem itself beside it as before."""
    rows = (("lisinopril", "medication", None), ("hypertension", "problem", None))
    statement, condition = said("Takes lisinopril for hypertension.", *rows, ties=REASON)
    assert statement["reasonCode"] == [{"text": "hypertension"}]
    assert condition["resourceType"] == "Condition"


def test_a_reason_that_is_not_sure_says_so() -> None:
    """A reason has no verification status: the words carry it, and no code is given."""
    rows = (("azithromycin", "medication", None), ("pneumonia", "problem", Assertion(possible=True)))
    statement, _ = said("Started azithromycin for possible pneumonia.", *rows, ties=REASON)
    assert statement["reasonCode"] == [{"text": "possibly pneumonia"}]


def test_a_relatives_problem_is_no_reason() -> None:
    rows = (("aspirin", "medication", None), ("stroke", "problem", Assertion(family=True)))
    statement, history = said("Takes aspirin since father's stroke.", *rows, ties=REASON)
    assert "reasonCode" not in statement
    assert history["resourceType"] == "FamilyMemberHistory"


def test_an_adverse_event_is_no_reason_and_no_allergy() -> None:
    """ "Nausea after codeine" is an event of a drug that is taken; nobody said allergy."""
    rows = (("codeine", "medication", None), ("nausea", "finding", None))
    statement, finding = said("Had codeine, then nausea.", *rows, ties=EVENT)
    assert (statement["resourceType"], "reasonCode" in statement) == ("MedicationStatement", False)
    assert finding["resourceType"] == "Observation"


def test_the_reaction_of_an_allergy() -> None:
    """Under the heading, what follows the drug is its manifestation, with its own evidence, and no finding of today."""
    rows = (("penicillin", "medication", None), ("hives", "finding", None))
    (allergy,) = said("penicillin - hives", *rows, ties=EVENT, section="allergies")
    (reaction,) = allergy["reaction"]
    assert reaction["manifestation"] == [{"text": "hives"}]
    parts = {part["url"]: part for part in reaction["extension"][0]["extension"]}
    assert (parts["begin"]["valueUnsignedInt"], parts["end"]["valueUnsignedInt"]) == (13, 18)


def test_a_refuted_allergy_has_no_reaction() -> None:
    rows = (("penicillin", "medication", Assertion(negated=True)), ("hives", "finding", None))
    allergy, finding = said("No penicillin allergy; hives.", *rows, ties=EVENT, section="allergies")
    assert "reaction" not in allergy
    assert finding["resourceType"] == "Observation"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("She is allergic to penicillin.", "AllergyIntolerance"),
        ("Allergies to codeine and penicillin.", "AllergyIntolerance"),
        ("Has a penicillin allergy.", "AllergyIntolerance"),
        ("Allergic to codeine and takes penicillin.", "MedicationStatement"),
        ("Allergic to codeine, started on penicillin.", "MedicationStatement"),
        ("Allergic to codeine. Penicillin: penicillin was given.", "MedicationStatement"),
        ("Allergic to codeine but uses penicillin.", "MedicationStatement"),
    ],
)
def test_an_allergy_outside_its_section(text: str, kind: str) -> None:
    """The note's words say it; a drug that is given beside it stays one that is taken."""
    (one,) = said(text, ("penicillin", "medication", None))
    assert one["resourceType"] == kind


def described(kind: MentionType, site: str = "", **fields: Any) -> dict[str, Any]:
    """The resource of one mention with these attributes, at a site where one is given."""
    message = findings(1, 0, **note("pain knee", ("pain", kind, None), ("knee", "anatomy", None)))
    m = [msgspec.structs.replace(message.mentions[0], **fields), msgspec.structs.replace(message.mentions[1], text=site)]
    relations = (tied("finding-body_site", *m),) if site else ()
    message = msgspec.structs.replace(message, mentions=tuple(m), relations=relations)
    bundle = json.loads(render(Decision(id=message.id, findings=message)))
    (one,) = [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] in STATED]
    return one  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("side", "site", "expected"),
    [
        ("left", "knee", "left knee"),
        ("left", "left knee", "left knee"),
        ("bilateral", "both knees", "both knees"),
        ("bilateral", "", "both sides"),
        ("right", "", "right side"),
        ("", "knee", "knee"),
    ],
)
def test_the_side_of_a_problem(side: str, site: str, expected: str) -> None:
    """Told once, whether the site's own words or others name it."""
    assert described("problem", site, laterality=side)["bodySite"] == [{"text": expected}]
    assert described("finding", site, laterality=side)["bodySite"] == {"text": expected}


def test_the_onset_of_a_problem() -> None:
    """A Condition has an element for it, an Observation a note; nothing where it is denied."""
    assert described("problem", onset="2 weeks ago")["onsetString"] == "2 weeks ago"
    assert described("finding", onset="for 3 days")["note"] == [{"text": "Onset: for 3 days"}]
    assert "onsetString" not in described("problem", onset="for 3 days", assertion=Assertion(negated=True))
    assert "note" not in described("finding", onset="for 3 days", assertion=Assertion(negated=True))
