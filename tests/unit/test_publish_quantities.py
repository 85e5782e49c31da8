"""Numbers with units in notes: read where there is no doubt, left as words otherwise."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from agents.publish.bundle import render
from agents.publish.quantities import UCUM, read_quantity
from schemas.findings import MentionType
from schemas.flags import Decision
from tests.support.decide import findings, note, tied


@pytest.mark.parametrize(
    ("text", "value", "unit", "code"),
    [
        ("500 mg", "500", "mg", "mg"),
        ("500mg", "500", "mg", "mg"),
        ("0.50 MCG", "0.50", "MCG", "ug"),
        ("4.10 mmol/L", "4.10", "mmol/L", "mmol/L"),
        ("98%", "98", "%", "%"),
        ("120 mmHg", "120", "mmHg", "mm[Hg]"),
        ("11.2 10^3/uL", "11.2", "10^3/uL", "10*3/uL"),
        ("38.5 °C", "38.5", "°C", "Cel"),
    ],
)
def test_a_number_with_a_known_unit(text: str, value: str, unit: str, code: str) -> None:
    """Value as written, unit as written, UCUM code beside it."""
    assert read_quantity(text) == {"value": Decimal(value), "unit": unit, "system": UCUM, "code": code}
    assert str(Decimal(value)) == value


def test_a_comparator() -> None:
    """Kept where a Quantity may hold one, words where it may not."""
    assert (read_quantity("<0.3 ng/mL") or {})["comparator"] == "<"
    assert read_quantity("<0.3 ng/mL", compared=False) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mg",
        "500",
        "4.1",
        "1,250 mg",
        "1-2 mg",
        "500/125 mg",
        "500 mg twice",
        "10 units",
        "10 U",
        "2 tabs",
        "5 cc",
        "½ mg",
        "٣ mg",
        "-5 mg",
        "5 M",
    ],
)
def test_what_is_in_doubt_stays_words(text: str) -> None:
    """A wrong dose is worse than none."""
    assert read_quantity(text) is None


def published(text: str, kind: str, *spans: tuple[str, MentionType]) -> dict[str, object]:
    rest = note(text, *((words, type_, None) for words, type_ in spans))
    head, *tails = rest["mentions"]
    rest["relations"] = tuple(tied(f"{head.type}-{tail.type}", head, tail) for tail in tails)
    message = findings(1, 0, **rest)
    entries = msgspec.json.decode(render(Decision(id=message.id, findings=message)))["entry"]
    found: dict[str, object] = next(row["resource"] for row in entries if row["resource"]["resourceType"] == kind)
    return found


def test_a_whole_dosage_and_one_with_two_doses() -> None:
    """Timing, route and dose stand apart beside the words; two doses stand in the words alone."""
    spans: list[tuple[str, MentionType]] = [
        ("warfarin", "medication"),
        ("5 mg", "dosage"),
        ("orally", "route"),
        ("daily", "frequency"),
    ]
    whole = published("Takes warfarin 5 mg orally daily.", "MedicationStatement", *spans)
    assert whole["dosage"] == [
        {
            "text": "5 mg orally daily",
            "timing": {"code": {"text": "daily"}},
            "route": {"text": "orally"},
            "doseAndRate": [{"doseQuantity": {"value": 5, "unit": "mg", "system": UCUM, "code": "mg"}}],
        }
    ]
    two = published(
        "Takes warfarin 5 mg and 7 mg.", "MedicationStatement", ("warfarin", "medication"), ("5 mg", "dosage"), ("7 mg", "dosage")
    )
    assert two["dosage"] == [{"text": "5 mg 7 mg"}]


def test_a_value_with_a_unit_is_a_quantity() -> None:
    """And one without is words."""
    spans: list[tuple[str, MentionType]] = [("Potassium", "test"), ("4.1 mmol/L", "value")]
    observation = published("Potassium 4.1 mmol/L.", "Observation", *spans)
    assert observation["valueQuantity"] == {"value": 4.1, "unit": "mmol/L", "system": UCUM, "code": "mmol/L"}
    assert "valueString" not in observation
