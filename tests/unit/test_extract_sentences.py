"""Sentence splitting of clinical text."""

from __future__ import annotations

import pytest

from agents.extract.sentences import split_sentences


def pieces(text: str) -> list[str]:
    return [text[s.start : s.end] for s in split_sentences(text)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", []),
        ("  \n\n ", []),
        ("No fever. Has cough.", ["No fever.", "Has cough."]),
        ("Seen by Dr. Smith today. Well.", ["Seen by Dr. Smith today.", "Well."]),
        ("Metoprolol 25 mg p.o. b.i.d. Continue.", ["Metoprolol 25 mg p.o. b.i.d.", "Continue."]),
        ("Temp 98.6 F. Weight 80.5 kg.", ["Temp 98.6 F.", "Weight 80.5 kg."]),
        ("1. Asthma\n2. Gout", ["1. Asthma", "2. Gout"]),
        ("- fever\n- cough", ["- fever", "- cough"]),
        ("FEVER\nCOUGH", ["FEVER", "COUGH"]),
        ("denies any\npain today", ["denies any\npain today"]),
        ("One.\r\nTwo.", ["One.", "Two."]),
        ("fever; cough", ["fever;", "cough"]),
        ("? pneumonia", ["? pneumonia"]),
        ("Really? Yes!", ["Really?", "Yes!"]),
        ("no terminator", ["no terminator"]),
    ],
)
def test_splits(text: str, wanted: list[str]) -> None:
    """Terminators, abbreviations, numbers, lists and line breaks end a sentence where a reader would."""
    assert pieces(text) == wanted


def test_long_lines_without_terminator_are_wrapped_prose() -> None:
    """A capital at the start of the next line does not end a sentence that fills its line."""
    text = "The patient was transferred in the evening by ambulance from the\nEmergency Department. Stable."
    assert pieces(text) == [text[:-8], "Stable."]


def test_list_items_know_the_line_that_introduces_them() -> None:
    """Items under a line with a colon carry it; the paragraph after the list does not."""
    text = "Denies:\n- fever\n- cough\nHas pain."
    leads = [s.lead and text[slice(*s.lead)] for s in split_sentences(text)]
    assert leads == [None, "Denies:", "Denies:", None]


def test_a_part_of_the_text_keeps_the_texts_offsets() -> None:
    """Offsets are those of the whole text."""
    (only,) = split_sentences("xx. Has cough. yy", 4, 14)
    assert (only.start, only.end) == (4, 14)
