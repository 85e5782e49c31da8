"""Patterns with a fixed form, and how their spans join the model's."""

from __future__ import annotations

import pytest

from agents.extract.rules import SOURCE, Span, find, unite


def spans(text: str, *, drugs: bool = True) -> list[tuple[str, str]]:
    return [(s.type, text[s.start : s.end]) for s in find(text, 0, len(text), drugs=drugs)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("500 mg PO BID", [("dosage", "500 mg"), ("route", "PO"), ("frequency", "BID")]),
        ("15 mg/kg IV q12h", [("dosage", "15 mg/kg"), ("route", "IV"), ("frequency", "q12h")]),
        ("1,000 mg by mouth every 6 to 8 hours as needed",
         [("dosage", "1,000 mg"), ("route", "by mouth"), ("frequency", "every 6 to 8 hours"), ("frequency", "as needed")]),
        ("2 puffs inhaled twice daily", [("dosage", "2 puffs"), ("route", "inhaled"), ("frequency", "twice daily")]),
        ("one tablet at bedtime for 10 days", [("form", "tablet"), ("frequency", "at bedtime"), ("duration", "for 10 days")]),
        ("p.o. t.i.d. x 7 days", [("route", "p.o."), ("frequency", "t.i.d."), ("duration", "x 7 days")]),
        ("1% cream topically", [("form", "cream"), ("route", "topically")]),
        ("a 10-day course", [("duration", "10-day")]),
        ("stage IV disease", []),
        ("cranial nerve IV palsy", []),
        ("glucose 140 mg/dL", [("test", "glucose"), ("value", "140 mg/dL")]),
        ("vitamin D 2000 units daily", [("dosage", "2000 units"), ("frequency", "daily")]),
    ],
)  # fmt: skip
def test_drug_attributes(text: str, wanted: list[tuple[str, str]]) -> None:
    """Doses, forms, routes, frequencies and durations are cut to their words; look-alikes are not taken."""
    if text.startswith("1%"):
        wanted = [("dosage", "1%"), *wanted]
    assert spans(text) == wanted


def test_attributes_need_a_drug_or_a_dose_with_its_use() -> None:
    """A frequency alone is no drug attribute where no drug is named; a dose with its frequency is."""
    assert spans("Headaches daily for 3 weeks", drugs=False) == []
    assert spans("20 mg daily", drugs=False) == [("dosage", "20 mg"), ("frequency", "daily")]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("BP 120/80", [("BP", "120/80")]),
        ("blood pressure was 130 over 75", [("blood pressure", "130 over 75")]),
        ("K 6.8", [("K", "6.8")]),
        ("K+ 5.9, Na 140", [("K+", "5.9"), ("Na", "140")]),
        ("potassium of 6.8 mmol/L", [("potassium", "6.8 mmol/L")]),
        ("Hemoglobin A1c is elevated at 8.1%", [("Hemoglobin A1c", "8.1%")]),
        ("troponin <0.01 ng/mL", [("troponin", "<0.01 ng/mL")]),
        ("WBC count of 12,000", [("WBC", "12,000")]),
        ("HR: 88 bpm; RR 16", [("HR", "88 bpm"), ("RR", "16")]),
        ("SpO2 97% on room air", [("SpO2", "97%")]),
        ("Temp 98.6 F", [("Temp", "98.6 F")]),
        ("INR 2.5-3.0", [("INR", "2.5-3.0")]),
        ("troponin 12/03/2020", []),
        ("vitamin K 5 mg", []),
        ("K 5", []),
    ],
)
def test_tests_with_values(text: str, wanted: list[tuple[str, str]]) -> None:
    """A vital sign or laboratory test stands with its value and unit; dates and doses are no values."""
    found = spans(text, drugs=False)
    assert found == [pair for test, value in wanted for pair in (("test", test), ("value", value))]


@pytest.mark.parametrize(
    ("text", "mention", "codes"),
    [
        ("Denies suicidal ideation.", "suicidal ideation", ["R45.851"]),
        ("Denies SI/HI.", "SI/HI", ["R45.851", "R45.850"]),
        ("She endorses SI with a plan.", "SI", ["R45.851"]),
        ("He wants to kill himself.", "wants to kill himself", ["R45.851"]),
        ("She wishes she were dead.", "wishes she were dead", ["R45.851"]),
        ("thoughts of harming herself", "thoughts of harming herself", ["R45.851"]),
        ("Prior suicide attempt.", "suicide attempt", ["T14.91"]),
        ("No suicidal or homicidal ideation.", "suicidal or homicidal ideation", ["R45.851", "R45.850"]),
    ],
)
def test_suicidality_is_found_by_phrase_and_coded(text: str, mention: str, codes: list[str]) -> None:
    """What a small model cannot be trusted with is found by phrase, whatever the model says."""
    (span,) = find(text, 0, len(text), drugs=False)
    assert (text[span.start : span.end], [c.code for c in span.codes], span.fixed) == (mention, codes, True)


@pytest.mark.parametrize("text", ["SI joint pain", "The SI units are used.", "a dead battery", "HI-RES CT"])
def test_look_alikes_of_suicidality_are_left(text: str) -> None:
    """Sacroiliac joints and SI units raise no mention."""
    assert find(text, 0, len(text), drugs=False) == []


def model(start: int, end: int, kind: str) -> Span:
    return Span(start, end, kind, 0.8, "m")  # type: ignore[arg-type]


def rule(start: int, end: int, kind: str, *, fixed: bool = False) -> Span:
    return Span(start, end, kind, 1.0, SOURCE, fixed=fixed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "ruled", "wanted"),
    [
        # "metformin 500 mg" as one medication is cut at the dose
        ([model(0, 16, "medication")], [rule(10, 16, "dosage")], [(0, 10, "medication"), (10, 16, "dosage")]),
        # one model span for dose and frequency is cut finer
        ([model(0, 12, "dosage")], [rule(0, 5, "dosage"), rule(7, 12, "frequency")], [(0, 5, "dosage"), (7, 12, "frequency")]),
        ([model(0, 12, "dosage")], [rule(0, 5, "dosage")], [(0, 12, "dosage")]),
        ([model(0, 12, "frequency")], [rule(0, 5, "dosage"), rule(7, 12, "frequency")], [(0, 5, "dosage"), (7, 12, "frequency")]),
        # a problem keeps its words
        ([model(0, 10, "problem")], [rule(4, 10, "frequency")], [(0, 10, "problem")]),
        # a fixed span replaces all that it touches
        ([model(0, 8, "problem"), model(9, 17, "finding")], [rule(0, 17, "finding", fixed=True)], [(0, 17, "finding")]),
        ([], [rule(0, 4, "test")], [(0, 4, "test")]),
    ],
)
def test_union(said: list[Span], ruled: list[Span], wanted: list[tuple[int, int, str]]) -> None:
    """Model and rule spans join into disjoint spans by the written order of precedence."""
    assert [(s.start, s.end, s.type) for s in unite(said, ruled)] == wanted
