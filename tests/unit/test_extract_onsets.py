"""Onsets and sides inside a note: whose they are, and what de-identification wrote."""

from __future__ import annotations

import time

import pytest

from agents.extract.mentions import NoteResult, Origin, read_given
from schemas.deidentified import SpanMap
from schemas.findings import Mention


def read(text: str, *words: tuple[str, str], replaced: tuple[SpanMap, ...] = ()) -> NoteResult:
    spans = sorted((text.index(word), text.index(word) + len(word), kind) for word, kind in words)
    return read_given("note", text, spans, origin=Origin("x", "", ""), replaced=replaced)


def by_text(result: NoteResult, words: str) -> Mention:
    return next(m for m in result.mentions if m.text == words)


def test_a_list_shares_its_onset() -> None:
    result = read("Fever, chills and cough for 3 days.", ("Fever", "finding"), ("chills", "finding"), ("cough", "finding"))
    assert [m.onset and m.onset.ago for m in result.mentions] == ["P3D", "P3D", "P3D"]


def test_a_history_is_of_what_it_names_alone() -> None:
    """ "10-year history of diabetes" says nothing about the pain that the patient came with."""
    result = read("A 10-year history of diabetes presented with chest pain.", ("diabetes", "problem"), ("chest pain", "finding"))
    assert by_text(result, "diabetes").onset is not None
    assert by_text(result, "chest pain").onset is None


@pytest.mark.parametrize("text", ["No fever for 3 days.", "Mother had fever for 3 days.", "Return if fever for 3 days."])
def test_what_the_patient_does_not_have_has_no_onset(text: str) -> None:
    assert read(text, ("fever", "finding")).mentions[0].onset is None


def test_words_of_de_identification_are_marked() -> None:
    text = "Asthma since 2019."
    place = text.index("2019")
    result = read(text, ("Asthma", "problem"), replaced=(SpanMap(place, place + 8, place, place + 4, "DATE"),))
    onset = result.mentions[0].onset
    assert onset is not None
    assert onset.replaced


def test_offsets_are_those_of_the_note() -> None:
    text = "Seen today.\nCough x2 weeks."
    onset = read(text, ("Cough", "finding")).mentions[0].onset
    assert onset is not None
    assert text[onset.start : onset.end] == onset.words == "x2 weeks"
    assert onset.ago == "P2W"


def test_a_finding_has_the_side_of_its_site() -> None:
    result = read("Pain and swelling in the left knee.", ("Pain", "finding"), ("swelling", "finding"), ("left knee", "anatomy"))
    assert [m.laterality for m in result.mentions] == ["left", "left", "left"]


def test_pain_is_not_where_it_radiates() -> None:
    result = read("Pain radiating to the left arm.", ("Pain", "finding"), ("left arm", "anatomy"))
    assert [m.laterality for m in result.mentions] == ["", "left"]


def test_reactions_of_an_allergy_list() -> None:
    """Each drug has its own reaction, over lines and within one; what is called an allergy has one in any section."""
    words = (("penicillin", "medication"), ("hives", "finding"), ("sulfa", "medication"), ("rash", "finding"))
    for text in ("ALLERGIES\npenicillin - hives\nsulfa (rash)", "ALLERGIES: penicillin - hives, sulfa - rash"):
        result = read(text, *words)
        by_id = {m.id: m.text for m in result.mentions}
        found = {(by_id[r.head], by_id[r.tail]) for r in result.relations if r.type == "medication-adverse_event"}
        assert found == {("penicillin", "hives"), ("sulfa", "rash")}
    (relation,) = read("He is allergic to penicillin (hives).", ("penicillin", "medication"), ("hives", "finding")).relations
    assert relation.type == "medication-adverse_event"


def test_an_endless_line_takes_no_square_of_its_length() -> None:
    """Ten times as much takes about ten times as long, whatever stands between mention and time."""
    spent = []
    for size in (300, 3000):
        text = "cough ,,,,(,,, and,and persistandandand for 3 days, left left both right knee " * size
        starts = range(0, len(text), len(text) // size)
        begin = time.perf_counter()
        read_given("note", text, [(at, at + 5, "finding") for at in starts], origin=Origin("x", "", ""))
        spent.append(time.perf_counter() - begin)
    assert spent[1] < 40 * spent[0]
