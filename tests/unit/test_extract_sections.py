"""Section headings."""

from __future__ import annotations

import pytest

from agents.extract.sections import section_at, split_sections


def named(text: str) -> list[str]:
    return [section.name for section in split_sections(text)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", [""]),
        ("Has cough.", [""]),
        ("FAMILY HISTORY\nstroke", ["family_history"]),
        ("Family History:\nstroke", ["family_history"]),
        ("FHx: stroke", ["family_history"]),
        ("Allergies: penicillin", ["allergies"]),
        ("ASSESSMENT AND PLAN\nx", ["assessment_plan"]),
        ("A/P: x", ["assessment_plan"]),
        ("1. Medications: aspirin", ["medications"]),
        ("# Medications\naspirin\n## Plan\nx", ["medications", "plan"]),
        ("HPI: x\nPMH: y", ["history_of_present_illness", "past_medical_history"]),
        ("Stable. PAST MEDICAL HISTORY: gout", ["", "past_medical_history"]),
        ("PHYSICAL EXAM\nHEENT: clear\nLUNGS: clear", ["physical_exam"]),
        ("FAMILY HISTORY:\nMOTHER: stroke", ["family_history"]),
        ("MEDICATIONS: x\nCOMMUNICATION WITH FAMILY: y", ["medications", "other"]),
        ("His family history is long.", [""]),
        ("no family history: none", [""]),
        ("Social history\r\nsmoker", ["social_history"]),
    ],
)
def test_names(text: str, wanted: list[str]) -> None:
    """Known headings open their section under the canonical name; prose opens none."""
    assert named(text) == wanted


def test_a_mention_lies_in_the_section_above_it() -> None:
    """``section_at`` finds the section by offset, from the first character to the last."""
    text = "intro\nALLERGIES\npenicillin\nPLAN\nrest"
    sections = split_sections(text)
    assert [section_at(sections, text.index(w)).name for w in ("intro", "penicillin", "rest")] == ["", "allergies", "plan"]
    assert section_at(sections, len(text)).name == "plan"
