"""Mentions and relations of one note."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from agents.extract.mentions import NoteResult, Origin, read_given, read_note
from schemas.deidentified import SpanMap
from tests.support.extract import Tagged, WordTagger

ORIGIN = Origin("00000000-0000-5000-8000-000000000000", "policy-1", "version-1")


def read(text: str, words: Mapping[str, str], replaced: tuple[SpanMap, ...] = ()) -> NoteResult:
    (tagged,) = WordTagger(words).tag_many([text])
    return read_note("OBX[1]-5", text, tagged, source="words-1", origin=ORIGIN, replaced=replaced)


def test_spans_carry_text_section_assertion_and_source() -> None:
    """A mention says where it stands, what made it and how it is meant."""
    text = "FAMILY HISTORY\nNo asthma.\n"
    (mention,) = read(text, {"asthma": "problem"}).mentions
    assert (mention.text, mention.section, mention.source, mention.score) == ("asthma", "family_history", "words-1", 0.9)
    assert (mention.assertion.negated, mention.assertion.family) == (True, True)
    assert text[mention.start : mention.end] == mention.text


@pytest.mark.parametrize("text", ["[NAME] has fever", "[DATE-12]", "[PATIENT_1] seen", "**NAME[AAA, BBB M] has fever"])
def test_replacement_tags_are_never_mentions(text: str) -> None:
    """What stands for an identifier is cut from every span, also without a map."""
    tagged = [Tagged(0, text.index("]") + 1, "problem")]
    assert read_note("n", text, tagged, source="m", origin=ORIGIN).mentions == ()


def test_replaced_years_and_tokens_are_cut_by_the_map() -> None:
    """A replacement without brackets is known from the map; what touches it keeps its own words."""
    text = "asthma 2021 wheeze"
    (mention,) = read_note(
        "n", text, [Tagged(0, 11, "problem")], source="m", origin=ORIGIN, replaced=(SpanMap(7, 17, 7, 11, "DATE"),)
    ).mentions
    assert mention.text == "asthma"
    inside = [Tagged(0, 18, "problem")]
    assert read_note("n", text, inside, source="m", origin=ORIGIN, replaced=(SpanMap(7, 17, 7, 11, "DATE"),)).mentions == ()


def test_a_semantic_tag_is_no_mention() -> None:
    """Generated notes write SNOMED CT names with their tag; the name counts, the tag does not."""
    text = "History of sprain of ankle (disorder), asthma."
    result = read(text, {"sprain of ankle": "problem", "disorder": "problem", "asthma": "problem"})
    assert [m.text for m in result.mentions] == ["sprain of ankle", "asthma"]


def test_original_offsets_lead_back_through_the_map() -> None:
    """``original`` is in the note as received, where the replaced text was longer or shorter."""
    original = "Mrs Featherstonehaugh has asthma."
    clean = "Mrs [NAME] has asthma."
    (mention,) = read(clean, {"asthma": "problem"}, (SpanMap(4, 21, 4, 10, "NAME"),)).mentions
    assert mention.original is not None
    assert original[mention.original.start : mention.original.end] == "asthma"


def test_a_drugs_dose_stands_in_relation_to_it() -> None:
    """Attributes go to the nearest drug before them, each to one."""
    result = read("metformin 500 mg PO BID, lisinopril 20 mg daily", {"metformin": "medication", "lisinopril": "medication"})
    text = {m.id: m.text for m in result.mentions}
    assert [(r.type, text[r.head], text[r.tail]) for r in result.relations] == [
        ("medication-dosage", "metformin", "500 mg"),
        ("medication-route", "metformin", "PO"),
        ("medication-frequency", "metformin", "BID"),
        ("medication-dosage", "lisinopril", "20 mg"),
        ("medication-frequency", "lisinopril", "daily"),
    ]


def test_a_dose_before_the_drug_is_its_own() -> None:
    """ "2 g of ceftriaxone": with no drug before it, the first after it is taken."""
    result = read("She was given 2 g of ceftriaxone.", {"ceftriaxone": "medication"})
    assert [r.type for r in result.relations] == ["medication-dosage"]


def test_a_symptoms_duration_is_not_the_drugs() -> None:
    """A problem between drug and duration takes the duration away."""
    result = read("Took aspirin, headache for 3 days", {"aspirin": "medication", "headache": "problem"})
    assert result.relations == ()


def test_a_test_stands_in_relation_to_its_value() -> None:
    """Each value goes to the test before it."""
    result = read("BP 120/80, K 6.8", {})
    text = {m.id: m.text for m in result.mentions}
    assert [(text[r.head], text[r.tail]) for r in result.relations] == [("BP", "120/80"), ("K", "6.8")]


def test_relations_stay_inside_a_sentence() -> None:
    """A dose in the next sentence is not the drug's."""
    result = read("Stopped metformin. MEDICATIONS: 20 mg daily.", {"metformin": "medication"})
    assert result.relations == ()


def test_unknown_labels_are_ignored() -> None:
    """A model may know labels that are no mention type."""
    assert read("fever at home", {"home": "LOCATION"}).mentions == ()


def test_given_spans_are_asserted_and_nothing_is_added() -> None:
    """Given spans keep their offsets and order, whatever else the text holds."""
    text = "No fever. BP 120/80, 20 mg daily."
    given = [(10, 12, "test"), (3, 8, "finding")]
    result = read_given("n", text, given, origin=ORIGIN)
    assert [(m.start, m.end, m.type, m.assertion.negated, m.source) for m in result.mentions] == [
        (10, 12, "test", False, "given"),
        (3, 8, "finding", True, "given"),
    ]


def test_ids_depend_on_message_versions_and_place_alone() -> None:
    """The same note gives the same ids; another message or version gives others; no two mentions share one."""
    words = {"asthma": "problem", "fever": "finding"}
    first, again = read("asthma, fever", words), read("asthma, fever", words)
    assert first == again
    assert len({m.id for m in first.mentions}) == 2
    (tagged,) = WordTagger(words).tag_many(["asthma, fever"])
    for other in (Origin("other", "policy-1", "version-1"), Origin(ORIGIN.id, "policy-1", "version-2")):
        moved = read_note("OBX[1]-5", "asthma, fever", tagged, source="words-1", origin=other)
        assert {m.id for m in moved.mentions}.isdisjoint(m.id for m in first.mentions)


@pytest.mark.parametrize(("text", "wanted"), [("MEDICATIONS\naspirin", ["aspirin"]), ("HYPERTENSION: stable", ["HYPERTENSION"])])
def test_headings_are_no_mentions_unless_they_may_be_content(text: str, wanted: list[str]) -> None:
    """A known heading is dropped; an unknown line in capitals before a colon is content."""
    words = {"medications": "medication", "aspirin": "medication", "hypertension": "problem"}
    assert [m.text for m in read(text, words).mentions] == wanted


@pytest.mark.parametrize("word", ["Mrs", "MRN", "DOB", "Meds", "hx", "y/o F"])
def test_a_word_of_the_chart_is_no_mention(word: str) -> None:
    """Titles, labels and shorthand that a model marks beside a replaced name are not findings."""
    text = f"Seen: {word} [NAME], fever."
    spans = [Tagged(6, 6 + len(word), "problem"), Tagged(text.index("fever"), text.index("fever") + 5, "finding")]
    result = read_note("text", text, spans, source="m", origin=ORIGIN)
    assert [mention.text for mention in result.mentions] == ["fever"]


def test_a_duration_carries_its_length() -> None:
    """``period`` stands on durations alone."""
    result = read("Took amoxicillin for 10 days", {"amoxicillin": "medication"})
    assert [(m.type, m.period) for m in result.mentions] == [("medication", ""), ("duration", "P10D")]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ALLERGIES:\nSulfa - rash\nCodeine", [("medication", "Sulfa"), ("finding", "rash"), ("medication", "Codeine")]),
        ("ALLERGIES:\nCo-trimoxazole: hives", [("medication", "Co-trimoxazole"), ("finding", "hives")]),
        ("ALLERGIES:\nCodeine (nausea)", [("medication", "Codeine"), ("finding", "nausea")]),
        ("ALLERGIES:\nPenicillin G", [("medication", "Penicillin G")]),
        ("MEDICATIONS:\nVitamin D - generic", [("medication", "Vitamin D - generic")]),
    ],
)
def test_lines_of_an_allergy_list_that_a_tagger_ran_together(text: str, wanted: list[tuple[str, str]]) -> None:
    """One drug a line, its reaction apart; other sections stay as they are tagged."""
    tagged = [Tagged(text.index("\n") + 1, len(text), "medication")]
    result = read_note("n", text, tagged, source="words-1", origin=Origin("o", "p", "v"))
    assert [(m.type, m.text) for m in result.mentions if m.source == "words-1"] == wanted
