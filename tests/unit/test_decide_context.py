"""The patient's context: versions decide, not arrival; what is old goes."""

from __future__ import annotations

import pytest

from agents.decide.context import HORIZON_HOURS, MAX_FACTS, PatientContext, merge, read_mentions
from schemas.findings import Assertion
from tests.support.decide import DAY, HOUR, coded, creatinine, findings, note, tied


def test_a_higher_version_wins_whatever_comes_first() -> None:
    """A correction that overtakes its original still stands in the end."""
    first, second = findings(1, 0, creatinine("a", "3.0", 0)), findings(2, 60, creatinine("a", "1.0", 0, version=2))
    for order in ((first, second), (second, first)):
        context = PatientContext()
        for one in order:
            context = merge(context, one)
        assert str(context.facts["a"].fact.value) == "1.0"


def test_a_withdrawn_fact_stays_as_a_tombstone() -> None:
    """The original that arrives after its withdrawal does not come back."""
    context = merge(PatientContext(), findings(1, 60, creatinine("a", "3.0", 0, version=2, retracted=True)))
    context = merge(context, findings(2, 70, creatinine("a", "3.0", 0)))
    assert context.facts["a"].fact.retracted
    assert context.current(("lab",)) == []


def test_a_fact_without_a_time_has_the_message_s() -> None:
    """Late delivery does not make an undated result current."""
    context = merge(PatientContext(), findings(1, 500, creatinine("a", "1.0", None)))  # type: ignore[arg-type]
    assert context.facts["a"].fact.elapsed == 500


def test_nameless_facts_of_two_messages_do_not_collide() -> None:
    """``#path`` ids mean nothing outside their message."""
    context = merge(PatientContext(), findings(1, 0, creatinine("#Observation", "1.0", 0)))
    context = merge(context, findings(2, 60, creatinine("#Observation", "2.0", 60)))
    assert [str(row.fact.value) for row in context.current(("lab",))] == ["1.0", "2.0"]


def test_old_measurements_go_and_allergies_stay() -> None:
    """Beyond the horizon of the longest rule only what is true until withdrawn is kept."""
    old = findings(1, 0, creatinine("a", "1.0", 0), coded("allergy", "al", "penicillin"))
    context = merge(merge(PatientContext(), old), findings(2, HORIZON_HOURS * HOUR + 1))
    assert set(context.facts) == {"al"}


def test_the_number_of_facts_is_bounded() -> None:
    """The oldest go first."""
    many = [creatinine(f"f{n}", "1.0", n) for n in range(MAX_FACTS + 10)]
    context = merge(PatientContext(), findings(1, MAX_FACTS + 10, *many))
    assert len(context.facts) == MAX_FACTS
    assert "f9" not in context.facts
    assert f"f{MAX_FACTS + 9}" in context.facts


def test_values_are_in_the_order_of_the_patient_s_clock() -> None:
    """Arrival plays no part in the order of a series."""
    context = merge(PatientContext(), findings(1, DAY, creatinine("b", "2.0", DAY)))
    context = merge(context, findings(2, DAY + 1, creatinine("a", "1.0", 0)))
    assert [row.fact.id for row in context.current(("lab",))] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "word", "section", "expected"),
    [
        ("Allergic to penicillin.", "penicillin", "", True),
        ("allergy to sulfa and penicillin", "penicillin", "", True),
        ("Penicillin allergy since childhood", "Penicillin", "", True),
        ("Penicillin: rash", "Penicillin", "allergies", True),
        ("Penicillin started. Allergy clinic next week.", "Penicillin", "", False),
        ("Not allergic to eggs. Given penicillin", "penicillin", "", False),
    ],
)
def test_what_counts_as_an_allergen(text: str, word: str, section: str, expected: bool) -> None:
    """A medication is an allergen in an allergy section, or where the sentence says so."""
    one = findings(1, 0, **note(text, (word, "medication", Assertion()), section=section))
    assert [mention.allergen for mention in read_mentions(one, ("medication",))] == [expected]


@pytest.mark.parametrize(("kind", "expected"), [("medication-dosage", False), ("medication-adverse_event", True)])
def test_a_dose_speaks_against_an_allergy_and_a_reaction_does_not(kind: str, expected: bool) -> None:
    """Under ALLERGIES what has a dose is given; what has a reaction is not tolerated."""
    rest = note(
        "Penicillin 500 hives", ("Penicillin", "medication", Assertion()), ("hives", "finding", Assertion()), section="allergies"
    )
    rest["relations"] = (tied(kind, *rest["mentions"]),)
    (mention,) = read_mentions(findings(1, 0, **rest), ("medication",))
    assert mention.allergen is expected
