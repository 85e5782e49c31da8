"""A family mention names its relatives when its sentence does."""

from __future__ import annotations

import pytest

from agents.extract.mentions import Origin, read_given


@pytest.mark.parametrize(
    ("text", "problem", "expected"),
    [
        ("Mother had diabetes, father had gout.", "diabetes", ("mother",)),
        ("Mother had diabetes, father had gout.", "gout", ("father",)),
        ("Family history of diabetes in her mother and gout in her father.", "diabetes", ("mother",)),
        ("Family history of diabetes in her mother and gout in her father.", "gout", ("father",)),
        ("FAMILY HISTORY: Mother and father had diabetes.", "diabetes", ("mother", "father")),
        ("FAMILY HISTORY: Diabetes (maternal grandma).", "Diabetes", ("maternal grandmother",)),
        ("FAMILY HISTORY: Gout, diabetes in two sisters.", "Gout", ("sister",)),
        ("FAMILY HISTORY: Diabetes.", "Diabetes", ()),
        ("FAMILY HISTORY: Diabetes, season of onset unknown.", "Diabetes", ()),
        ("Her mother is worried. She has diabetes.", "diabetes", ()),
    ],
)
def test_relatives(text: str, problem: str, expected: tuple[str, ...]) -> None:
    """Each statement keeps its own relative; the patient's mentions have none."""
    start = text.index(problem)
    given = [(start, start + len(problem), "problem")]
    (mention,) = read_given("n", text, given, origin=Origin("o", "p", "v")).mentions
    assert mention.relatives == expected
    assert mention.assertion.family or not expected
