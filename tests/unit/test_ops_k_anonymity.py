"""k-anonymity of de-identified messages."""

from __future__ import annotations

import pytest

from ops.k_anonymity import Quasi, age_band, chapter, quasi_of, report
from schemas.message import parse
from tests.support import deid


@pytest.mark.parametrize(
    ("code", "expected"),
    [("A00", "I"), ("B99.9", "I"), ("C50.911", "II"), ("D49", "II"), ("D50.0", "III"), ("H59", "VII"), ("H60", "VIII"), ("T88", "XIX"),
     ("Y99", "XX"), ("Z00.00", "XXI"), ("U07.1", "XXII"), ("38341003", ""), ("", "")],
)  # fmt: skip
def test_chapters_of_icd_10(code: str, expected: str) -> None:
    """First and last codes of chapters; other code systems have none."""
    assert chapter(code) == expected


def test_bands_of_age() -> None:
    """Five years, and one band from 90 on."""
    assert [age_band(years) for years in (0, 4, 44, 89, 90, 90 + 9, None)] == ["0-4", "0-4", "40-44", "85-89", "90+", "90+", ""]


def test_quasi_identifiers_are_read_from_the_clean_message() -> None:
    """HL7 and FHIR of one patient say the same about sex and ZIP3."""
    hl7 = deid.clean(deid.ORU + b"DG1|1||I10^Hypertension^I10\r")
    fhir = deid.clean_fhir(deid.bundle(deid.patient_resource()))
    first = quasi_of(parse(hl7.content_type, hl7.payload), hl7.map)
    second = quasi_of(parse(fhir.content_type, fhir.payload), fhir.map)
    assert first == Quasi(age="70-74", sex="M", zip3="441", year="", chapter="IX")
    assert (second.sex, second.zip3) == ("M", "441")


def test_risk_of_a_known_population() -> None:
    """Twelve alike and one alone: k 1, one thirteenth below 11, average risk two classes of thirteen."""
    result = report([Quasi(sex="F")] * 12 + [Quasi(sex="M", zip3="441")])
    assert (result.patients, result.classes, result.smallest_k, result.maximum_risk) == (13, 2, 1, 1.0)
    assert result.below_wanted == pytest.approx(1 / 13)
    assert result.average_risk == pytest.approx(2 / 13)
    assert result.rarest[0] == (Quasi(sex="M", zip3="441"), 1)
    assert report([]).patients == 0


def test_later_messages_complete_a_patient() -> None:
    """What is not said does not wipe what was said."""
    assert Quasi(sex="F", year="2023").updated(Quasi(year="2024", zip3="441")) == Quasi(sex="F", year="2024", zip3="441")
