"""The parts of a prescription that a note names as a FHIR Dosage: all words as text, structured where nothing is left open."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from agents.publish.names import Object, plain
from agents.publish.quantities import UCUM, read_quantity
from schemas.findings import Mention

#: Parts of a prescription, in the order in which one writes it.
SIG = ("dosage", "form", "route", "frequency", "duration")
#: ISO 8601 designators -> UCUM (http://hl7.org/fhir/R4/valueset-duration-units.html); M before T is a month.
_UNITS = {"D": "d", "W": "wk", "M": "mo", "Y": "a", "TH": "h", "TM": "min"}
_LENGTH = re.compile(r"P(T?)([0-9]{1,6})([DWMYH])")


def dosage(tails: Sequence[Mention]) -> Object | None:
    """A part is structured where there is one of its kind: two doses are an order that words tell better."""
    parts = {kind: [tail for tail in tails if tail.type == kind] for kind in SIG}
    written = " ".join(word for kind in SIG for tail in parts[kind] if (word := plain(tail.text)))
    if not written:
        return None
    made: Object = {"text": written}
    timing: Object = {}
    if len(parts["duration"]) == 1 and (length := duration(parts["duration"][0].period)):
        timing["repeat"] = {"boundsDuration": length}
    if len(parts["frequency"]) == 1 and (words := plain(parts["frequency"][0].text)):
        timing["code"] = {"text": words}
    if timing:
        made["timing"] = timing
    if len(parts["route"]) == 1 and (words := plain(parts["route"][0].text)):
        made["route"] = {"text": words}
    dose = read_quantity(plain(parts["dosage"][0].text), compared=False) if len(parts["dosage"]) == 1 else None
    if dose is not None:
        made["doseAndRate"] = [{"doseQuantity": dose}]
    return made


def duration(period: str) -> Object | None:
    """An ISO 8601 duration of one part ("P3W") as a FHIR Duration; ``None`` for any other text."""
    found = _LENGTH.fullmatch(period)
    unit = _UNITS.get(found.group(1) + found.group(3)) if found else None
    if found is None or unit is None:
        return None
    return {"value": Decimal(found.group(2)), "unit": unit, "system": UCUM, "code": unit}
