"""The most of an order in a day, from FHIR Dosage and Timing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from schemas.fhir.dosing import daily_amount


def dosage(value: Any = 500, unit: str = "mg", **repeat: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"doseAndRate": [{"doseQuantity": {"value": value, "unit": unit}}]}
    return made | ({"timing": {"repeat": repeat}} if repeat else {})


def coded(code: str) -> dict[str, Any]:
    return dosage() | {"timing": {"code": {"coding": [{"code": code}]}}}


DAILY = {"frequency": 1, "period": 1, "periodUnit": "d"}
LIMIT = {"maxDosePerPeriod": {"numerator": {"value": 2000, "unit": "mg"}, "denominator": {"value": 1, "unit": "d"}}}


@pytest.mark.parametrize(
    ("dosages", "expected"),
    [
        ([dosage(**DAILY)], 500),
        ([dosage(**DAILY | {"frequency": 3})], 1500),
        ([dosage(**DAILY | {"frequencyMax": 4})], 2000),
        ([dosage(period=6, periodUnit="h")], 2000),
        ([dosage(period=4, periodMax=6, periodUnit="h")], 3000),
        ([dosage(period=24, periodUnit="h")], 500),
        ([dosage(period=36, periodUnit="h")], None),
        ([dosage(period=2, periodUnit="d")], None),
        ([dosage(period=1, periodUnit="wk")], None),
        ([dosage(period=15, periodUnit="min")], None),
        ([dosage(**DAILY | {"dayOfWeek": ["mon"]})], None),
        ([dosage(**DAILY | {"frequency": 4, "count": 1})], 500),
        ([dosage(timeOfDay=["08:00:00", "20:00:00"])], 1000),
        ([dosage(when=["MORN", "NOON", "EVE"])], 1500),
        ([coded("BID")], 1000),
        ([coded("Q6H")], 2000),
        ([coded("QOD")], None),
        ([dosage()], None),
        ([dosage(value=None, **DAILY)], None),
        ([dosage(period=0, periodUnit="d")], None),
        ([dosage(period=4, periodUnit="h") | LIMIT], 2000),
        ([dosage(unit="g", period=4, periodUnit="h") | LIMIT], 3000),
        ([dosage(**DAILY), dosage(value=900, **DAILY)], 900),
        ([dosage(**DAILY) | {"sequence": 1}, dosage(value=900, **DAILY) | {"sequence": 1}], 1400),
        ([dosage(**DAILY) | {"sequence": 1}, dosage(value=900, **DAILY) | {"sequence": 2}], 900),
        ([dosage(**DAILY) | {"sequence": 1}, dosage(value=9, unit="g", **DAILY) | {"sequence": 1}], 500),
        ([dosage(), dosage(value=9, unit="g", **DAILY)], None),
        ([{"doseQuantity": {"value": 2, "code": "{pill}"}, "timing": {"repeat": DAILY}}], 2),
        ({"text": "as directed"}, None),
        ("junk", None),
        (None, None),
    ],
)  # fmt: skip
def test_daily_amount(dosages: Any, expected: int | None) -> None:
    """Highest frequency, shortest interval, doses of every day; what is left open or not every day gives none."""
    assert daily_amount(dosages) == (None if expected is None else Decimal(expected))
