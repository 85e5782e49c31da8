"""Unit conversion for the analytes that rules use: UCUM codes and the spellings that laboratories really send.

A unit that is not listed for an analyte is unknown: the value is missing data, never guessed. Molar masses behind the factors
(g/mol): creatinine 113.12 (88.4 umol/L per mg/dL, the factor of KDIGO 2012), glucose 180.156, calcium 40.078, magnesium
24.305, lactate 90.08, digoxin 780.94; haemoglobin monomer 16114 (IFCC).
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

#: Spellings (lower case, no blanks) -> one name. UCUM ``c/s`` codes stand on the right.
_SPELLINGS: dict[str, str] = {
    "mg/dl": "mg/dL",
    "mg%": "mg/dL",
    "g/dl": "g/dL",
    "gm/dl": "g/dL",
    "g%": "g/dL",
    "g/l": "g/L",
    "ng/ml": "ng/mL",
    "ug/l": "ng/mL",
    "µg/l": "ng/mL",
    "mcg/l": "ng/mL",
    "nmol/l": "nmol/L",
    "mmol/l": "mmol/L",
    "mm/l": "mmol/L",
    "umol/l": "umol/L",
    "µmol/l": "umol/L",
    "μmol/l": "umol/L",
    "mcmol/l": "umol/L",
    "meq/l": "meq/L",
    "10*3/ul": "10*3/uL",
    "10^3/ul": "10*3/uL",
    "x10*3/ul": "10*3/uL",
    "x10^3/ul": "10*3/uL",
    "x10e3/ul": "10*3/uL",
    "10e3/ul": "10*3/uL",
    "10*3/µl": "10*3/uL",
    "10^3/µl": "10*3/uL",
    "x10^3/µl": "10*3/uL",
    "10^3/mcl": "10*3/uL",
    "x10^3/mcl": "10*3/uL",
    "k/ul": "10*3/uL",
    "k/µl": "10*3/uL",
    "k/mcl": "10*3/uL",
    "k/mm3": "10*3/uL",
    "thou/ul": "10*3/uL",
    "thou/mcl": "10*3/uL",
    "th/mm3": "10*3/uL",
    "10*3/mm3": "10*3/uL",
    "10^3/mm3": "10*3/uL",
    "10*9/l": "10*9/L",
    "10^9/l": "10*9/L",
    "x10*9/l": "10*9/L",
    "x10^9/l": "10*9/L",
    "x10e9/l": "10*9/L",
    "10e9/l": "10*9/L",
    "/ul": "/uL",
    "/µl": "/uL",
    "/mcl": "/uL",
    "/mm3": "/uL",
    "cells/ul": "/uL",
    "cells/mcl": "/uL",
    "{cells}/ul": "/uL",
    "": "1",
    "1": "1",
    "{inr}": "1",
    "inr": "1",
    "ratio": "1",
    "{ratio}": "1",
    "[ph]": "1",
    "ph": "1",
    "ph_units": "1",
    "phunits": "1",
    "{score}": "1",
    "score": "1",
    "{points}": "1",
    "points": "1",
    "cel": "Cel",
    "c": "Cel",
    "°c": "Cel",
    "degc": "Cel",
    "[degf]": "[degF]",
    "f": "[degF]",
    "°f": "[degF]",
    "degf": "[degF]",
    "/min": "/min",
    "1/min": "/min",
    "bpm": "/min",
    "{beats}/min": "/min",
    "beats/min": "/min",
    "{breaths}/min": "/min",
    "breaths/min": "/min",
    "br/min": "/min",
    "mm[hg]": "mm[Hg]",
    "mmhg": "mm[Hg]",
    "kpa": "kPa",
    "%": "%",
    "ml/min/{1.73_m2}": "mL/min/{1.73_m2}",
    "ml/min/{1.73m2}": "mL/min/{1.73_m2}",
    "ml/min/{1.73}m2": "mL/min/{1.73_m2}",
    "ml/min/1.73m2": "mL/min/{1.73_m2}",
    "ml/min/1.73_m2": "mL/min/{1.73_m2}",
    "ml/min/1.73m^2": "mL/min/{1.73_m2}",
    "ml/min/1.73m²": "mL/min/{1.73_m2}",
    "ml/min/1.73": "mL/min/{1.73_m2}",
    "ml/min": "mL/min/{1.73_m2}",  # The code says whether it is normalized to body surface.
    "l/min": "L/min",
    "lpm": "L/min",
}

#: Analyte -> unit -> factor to the unit whose factor is 1.
_FACTORS: dict[str, dict[str, Decimal]] = {
    name: {unit: Decimal(factor) for unit, factor in row.items()}
    for name, row in {
        "creatinine": {"umol/L": "1", "mg/dL": "88.4", "mmol/L": "1000"},
        "potassium": {"mmol/L": "1", "meq/L": "1"},
        "sodium": {"mmol/L": "1", "meq/L": "1"},
        "glucose": {"mg/dL": "1", "mmol/L": "18.0156"},
        "calcium": {"mg/dL": "1", "mmol/L": "4.0078", "meq/L": "2.0039"},
        "magnesium": {"mg/dL": "1", "mmol/L": "2.4305", "meq/L": "1.21525"},
        "hemoglobin": {"g/dL": "1", "g/L": "0.1", "mmol/L": "1.6114"},
        "platelets": {"10*9/L": "1", "10*3/uL": "1", "/uL": "0.001"},
        "leukocytes": {"10*9/L": "1", "10*3/uL": "1", "/uL": "0.001"},
        "digoxin": {"ng/mL": "1", "nmol/L": "0.78094"},
        "lactate": {"mmol/L": "1", "mg/dL": "0.11101"},
        "temperature": {"Cel": "1"},
        "rate": {"/min": "1"},
        "pressure": {"mm[Hg]": "1", "kPa": "7.50062"},
        "percent": {"%": "1"},
        "filtration": {"mL/min/{1.73_m2}": "1"},
        "flow": {"L/min": "1"},
        "ratio": {"1": "1"},
        "score": {"1": "1"},
    }.items()
}


def analytes() -> frozenset[str]:
    return frozenset(_FACTORS)


def canonical_unit(analyte: str) -> str:
    """The unit in which rules state limits of ``analyte``; raises KeyError for an unknown analyte."""
    return next(unit for unit, factor in _FACTORS[analyte].items() if factor == 1)


def convert(value: Decimal, unit: str, analyte: str) -> Decimal | None:
    """``value`` in the canonical unit of ``analyte``, exact; ``None`` when the unit is unknown for it."""
    name = _SPELLINGS.get("".join(unit.split()).lower())
    if analyte == "temperature" and name == "[degF]":
        # To a tenth, as thermometers and the limits of scores are written: 100.4 F is 38.0 C.
        return ((value - 32) * 5 / 9).quantize(Decimal("0.1"), ROUND_HALF_UP)
    factor = None if name is None else _FACTORS[analyte].get(name)
    return None if factor is None else value * factor
