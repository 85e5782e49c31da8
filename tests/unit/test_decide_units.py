"""Units: exact conversion for the analytes of the rules, and no guess for anything else."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.decide.reading.renal import creatinine_at, egfr
from agents.decide.reading.units import analytes, canonical_unit, convert


@pytest.mark.parametrize(
    ("analyte", "value", "unit", "expected"),
    [
        ("creatinine", "1.0", "mg/dL", "88.40"),
        ("creatinine", "1.0", "MG/DL", "88.40"),
        ("creatinine", "0.1", "mmol/L", "100.0"),
        ("creatinine", "90", "µmol/L", "90"),
        ("creatinine", "90", "μmol/L", "90"),
        ("potassium", "4.1", "mEq/L", "4.1"),
        ("glucose", "10", "mmol/L", "180.1560"),
        ("calcium", "2.5", "mmol/L", "10.01950"),
        ("magnesium", "1", "mmol/L", "2.4305"),
        ("hemoglobin", "70", "g/L", "7.0"),
        ("hemoglobin", "5", "mmol/L", "8.0570"),
        ("platelets", "20", "10*3/uL", "20"),
        ("platelets", "20", "x10^9/L", "20"),
        ("platelets", "20000", "/uL", "20.000"),
        ("leukocytes", "0.9", "K/uL", "0.9"),
        ("lactate", "36", "mg/dL", "3.99636"),
        ("ratio", "2.1", "", "2.1"),
        ("ratio", "2.1", "{INR}", "2.1"),
        ("ratio", "7.2", "[pH]", "7.2"),
    ],
)
def test_known_units(analyte: str, value: str, unit: str, expected: str) -> None:
    """The value in the canonical unit, to the last digit."""
    assert convert(Decimal(value), unit, analyte) == Decimal(expected)


@pytest.mark.parametrize(
    ("analyte", "unit"),
    [
        ("creatinine", ""),
        ("creatinine", "mEq/L"),
        ("potassium", "mg/dL"),
        ("potassium", ""),
        ("glucose", "g/L"),
        ("hemoglobin", "%"),
        ("platelets", "10*6/uL"),
        ("ratio", "mmol/L"),
    ],
)
def test_unknown_units_are_not_guessed(analyte: str, unit: str) -> None:
    """A unit that the table does not list for the analyte gives no value."""
    assert convert(Decimal(1), unit, analyte) is None


def test_each_analyte_has_one_canonical_unit() -> None:
    """Limits are stated in a unit that converts to itself."""
    for analyte in analytes():
        unit = canonical_unit(analyte)
        assert convert(Decimal("3.7"), "" if unit == "1" else unit, analyte) == Decimal("3.7")


@given(st.integers(20, 600), st.integers(18, 100), st.sampled_from(["F", "M"]))
def test_the_creatinine_of_a_filtration_rate(creatinine: int, age: int, sex: str) -> None:
    """``creatinine_at`` undoes ``egfr``."""
    rate = egfr(Decimal(creatinine), age, sex)
    assert rate is not None
    back = creatinine_at(rate, age, sex)
    assert back is not None
    assert abs(back - creatinine) < Decimal("0.0001")
