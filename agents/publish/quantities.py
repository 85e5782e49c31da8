"""A number with a unit, as notes write it, as a FHIR Quantity in UCUM; what is not surely one stays words.

A comma is never read: ``1,250`` is a thousand here and one and a quarter there. A number without a unit is no quantity either.
"""

from __future__ import annotations

import re
from decimal import Decimal

from agents.publish.names import Object, plain

UCUM = "http://unitsofmeasure.org"

_QUANTITY = re.compile(r"(<=|>=|<|>)?\s*([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([^\s0-9.,<>=-]\S{0,15}|10[*^]\S{1,12})")

#: Spellings (lower case) -> UCUM c/s code. Left out on purpose: ``u`` and ``units`` (of what?), ``m`` (metre, molar), ``cc``, ``tab`` and forms.
_UNITS: dict[str, str] = {
    "mg": "mg", "g": "g", "gm": "g", "kg": "kg", "mcg": "ug", "ug": "ug", "µg": "ug", "μg": "ug", "ng": "ng",
    "ml": "mL", "l": "L", "dl": "dL", "meq": "meq", "mmol": "mmol", "iu": "[iU]",
    "mg/kg": "mg/kg", "mcg/kg": "ug/kg", "mg/h": "mg/h", "mg/hr": "mg/h", "ml/h": "mL/h", "ml/hr": "mL/h", "mg/ml": "mg/mL",
    "mg/dl": "mg/dL", "g/dl": "g/dL", "g/l": "g/L", "mg/l": "mg/L", "ng/ml": "ng/mL", "pg/ml": "pg/mL", "ng/l": "ng/L",
    "mcg/dl": "ug/dL", "ug/dl": "ug/dL", "mmol/l": "mmol/L", "umol/l": "umol/L", "µmol/l": "umol/L", "μmol/l": "umol/L", "meq/l": "meq/L",
    "u/l": "U/L", "iu/l": "[iU]/L", "iu/ml": "[iU]/mL", "10*3/ul": "10*3/uL", "10^3/ul": "10*3/uL", "k/ul": "10*3/uL",
    "10*9/l": "10*9/L", "10^9/l": "10*9/L",
    "%": "%", "mmhg": "mm[Hg]", "bpm": "/min", "/min": "/min", "ml/min": "mL/min",
    "cm": "cm", "mm": "mm", "°c": "Cel", "°f": "[degF]", "kg/m2": "kg/m2", "kg/m^2": "kg/m2",
}  # fmt: skip


def ucum(unit: str) -> str | None:
    """The UCUM code of a unit as people write it; ``None`` where it is not surely one."""
    return _UNITS.get(unit.strip().lower())


def read_quantity(text: str, *, compared: bool = True) -> Object | None:
    """``None``: it is not one number with one known unit and nothing else. ``compared`` False: a comparator is not allowed (SimpleQuantity)."""
    found = _QUANTITY.fullmatch(text.strip())
    if found is None:
        return None
    comparator, number, unit = found.groups()
    code = ucum(unit)
    if code is None or (comparator and not compared):
        return None
    quantity: Object = {"value": Decimal(number), "unit": unit, "system": UCUM, "code": code}
    return {"comparator": comparator} | quantity if comparator else quantity


def stated_quantity(value: Decimal | None, unit: str, comparator: str = "") -> Object | None:
    """What a sender states in fields of their own; its unit in UCUM where it is known."""
    if value is None or not value.is_finite():
        return None
    quantity: Object = {"value": value}
    if comparator:
        quantity["comparator"] = comparator
    if plain(unit):
        quantity["unit"] = plain(unit)
        if code := ucum(unit):
            quantity |= {"system": UCUM, "code": code}
    return quantity
