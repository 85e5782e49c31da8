"""Whose history it is: said where the sentence names one relative, left open otherwise."""

from __future__ import annotations

import json

import pytest

from agents.publish.bundle import render
from agents.publish.relatives import relationship
from tests.support.publish import decided


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Mother had asthma.", "MTH"),
        ("FATHER: asthma", "FTH"),
        ("Father well. Sister with asthma", "SIS"),
        ("Father well\nBrother: asthma", "BRO"),
        ("Maternal grandmother had asthma", "MGRMTH"),
        ("Mom, the patient's mother, had asthma", "MTH"),
        ("Mother and father had asthma", "FAMMEMB"),
        ("Two sisters had asthma", "FAMMEMB"),
        ("Mother-in-law had asthma", "FAMMEMB"),
        ("Stepfather had asthma", "FAMMEMB"),
        ("Great-grandmother had asthma", "FAMMEMB"),
        ("Family history of asthma", "FAMMEMB"),
        ("Mother well. Family history of asthma", "FAMMEMB"),
        ("A person of reason had asthma", "FAMMEMB"),
    ],
)
def test_relationship(text: str, code: str) -> None:
    """A wrong relative is worse than none."""
    assert relationship(text, text.index("asthma")) == code


def test_the_bundle_says_it() -> None:
    """The mother of the sample note."""
    entries = json.loads(render(decided()))["entry"]
    (history,) = [row["resource"] for row in entries if row["resource"]["resourceType"] == "FamilyMemberHistory"]
    assert history["relationship"]["coding"][0]["code"] == "MTH"
