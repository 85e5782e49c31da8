"""Abbreviations are expanded by definition, context or section, and stay as they are without evidence."""

from __future__ import annotations

import pytest

from agents.extract.expansions import definitions, expand
from agents.extract.mentions import Origin, read_given


def _expanded(text: str, short: str, section: str = "") -> str:
    start = text.rindex(short)
    return expand(text, start, start + len(short), section, definitions(text))


@pytest.mark.parametrize(
    ("text", "short", "section", "long"),
    [
        ("Relapsing remitting MS on interferon.", "MS", "", "multiple sclerosis"),
        ("Rheumatic valve disease with severe MS.", "MS", "", "mitral stenosis"),
        ("MS 15 daily", "MS", "medications", "morphine sulfate"),
        ("History of MS.", "MS", "", ""),
        ("MS, interferon; mitral valve normal.", "MS", "", ""),
        ("Exertional CP, troponin negative.", "CP", "", "chest pain"),
        ("Spastic CP, wheelchair bound.", "CP", "", "cerebral palsy"),
        ("PT 14 seconds, INR 1.1", "PT", "", "prothrombin time"),
        ("Seen by PT and OT for gait training.", "PT", "", "physical therapy"),
        ("RA on methotrexate", "RA", "", "rheumatoid arthritis"),
        ("SpO2 96% on RA", "RA", "", "room air"),
        ("Admitted after intentional OD.", "OD", "", "overdose"),
        ("Visual acuity 20/40 OD", "OD", "", "right eye"),
        ("Chronic kidney disease (CKD). Later: CKD stage 3.", "CKD", "", "chronic kidney disease"),
        ("Mitral stenosis (MS). Was on interferon for MS.", "MS", "", "mitral stenosis"),
        ("Seen in clinic today (CKD). CKD stage 3.", "CKD", "", ""),
        ("Chest pain (CP). Cerebral palsy (CP). CP.", "CP", "", ""),
        ("Chronic kidney. Disease (CKD) and CKD", "CKD", "", ""),
    ],
)
def test_expansion(text: str, short: str, section: str, long: str) -> None:
    """Definition before context before section; conflict or no evidence gives nothing."""
    assert _expanded(text, short, section) == long


def test_mentions_carry_the_expansion() -> None:
    """The field is on the mention, and empty for words that are no abbreviation."""
    text = "Chronic kidney disease (CKD). CKD with edema."
    given = [(30, 33, "problem"), (39, 44, "finding")]
    result = read_given("n", text, given, origin=Origin("o", "p", "v"))
    assert [m.expansion for m in result.mentions] == ["chronic kidney disease", ""]
