"""How much of a drug an order lets a patient take in a day, from its coded dose and timing (FHIR R4 Dosage, Timing)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from schemas.fhir.values import Object, first_object, number, objects, quantity, string

#: Hours in a unit of time (UCUM). A dose of a week is not one of every day, and one "every 15 minutes" is given until it works, not all day.
_HOURS = {"h": Decimal(1), "d": Decimal(24)}
#: Timing.code (http://terminology.hl7.org/CodeSystem/v3-GTSAbbreviation) -> times a day.
_CODES = {
    "BID": 2, "TID": 3, "QID": 4, "QD": 1, "AM": 1, "PM": 1, "BED": 1,
    "Q1H": 24, "Q2H": 12, "Q3H": 8, "Q4H": 6, "Q6H": 4, "Q8H": 3,
}  # fmt: skip


def daily_amount(dosages: Any) -> Decimal | None:
    """In the unit of the first dose. The most that is allowed: highest frequency, shortest interval, no more than ``maxDosePerPeriod`` says.

    Doses that stand beside each other (one ``sequence``) are added up, others are alternatives in time, of which the largest counts; what has
    another unit or no timing of every day adds nothing. ``None``: nothing says how much.
    """
    rows = objects(dosages)
    unit = quantity(_dose(first_object(dosages)))[2]
    places = {number(row.get("sequence")) for row in rows}
    amounts: list[Decimal] = []
    for row in rows:
        value, comparator, written = quantity(_dose(row))
        times = _times_a_day(first_object(row.get("timing")))
        if value is None or comparator or times is None or written != unit:
            continue
        most = _most(row, unit)
        amounts.append(value * times if most is None else min(value * times, most))
    if not amounts:
        return None
    return sum(amounts, Decimal(0)) if len(places) == 1 and None not in places else max(amounts)


def _dose(dosage: Object) -> Object:
    return first_object(first_object(dosage.get("doseAndRate")).get("doseQuantity") or dosage.get("doseQuantity"))


def _times_a_day(timing: Object) -> Decimal | None:
    repeat = first_object(timing.get("repeat"))
    if repeat.get("dayOfWeek"):
        return None
    period, hours = number(repeat.get("period")), _HOURS.get(string(repeat, "periodUnit"))
    if period and hours is not None:
        if period * hours > 24:
            return None
        often = number(repeat.get("frequencyMax")) or number(repeat.get("frequency")) or Decimal(1)
        given = number(repeat.get("countMax")) or number(repeat.get("count"))
        often = often * 24 / (period * hours)
        return often if given is None else min(often, given)
    for name in ("timeOfDay", "when"):
        moments = repeat.get(name)
        if isinstance(moments, list) and moments:
            return Decimal(len(moments))
    codes = (string(coding, "code") for coding in objects(first_object(timing.get("code")).get("coding")))
    return next((Decimal(_CODES[code]) for code in codes if code in _CODES), None)


def _most(dosage: Object, unit: str) -> Decimal | None:
    """Of a day, where ``maxDosePerPeriod`` counts in the dose's unit and the days or hours that make one."""
    ratio = first_object(dosage.get("maxDosePerPeriod"))
    value, comparator, written = quantity(first_object(ratio.get("numerator")))
    over, _, period = quantity(first_object(ratio.get("denominator")))
    hours = _HOURS.get(period)
    if value is None or comparator or written != unit or not over or hours is None or over * hours != 24:
        return None
    return value
