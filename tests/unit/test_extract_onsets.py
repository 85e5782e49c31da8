"""Since when a problem or finding is, in the note's words."""

from __future__ import annotations

import time

import pytest

from agents.extract.mentions import Origin, read_given


def since(marked: str) -> dict[str, str]:
    """Onset by the words of each ``<f:finding>``; ``<m:...>`` is a medication."""
    text, given, rest = "", [], marked
    types = {"f": "finding", "m": "medication", "o": "procedure"}
    while "<" in rest:
        plain, rest = rest.split("<", 1)
        inside, rest = rest.split(">", 1)
        text += plain
        given.append((len(text), len(text) + len(inside) - 2, types[inside[0]]))
        text += inside[2:]
    result = read_given("note", text + rest, given, origin=Origin("o", "p", "v"))
    return {m.text: m.onset for m in result.mentions if m.onset}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<f:cough> for 3 days", {"cough": "for 3 days"}),
        ("<f:cough> and <f:fever> for the past 2 weeks.", {"cough": "for the past 2 weeks", "fever": "for the past 2 weeks"}),
        ("<f:headache> that started 2 weeks ago", {"headache": "2 weeks ago"}),
        ("<f:Hypoxia> on admission.", {"Hypoxia": "on admission"}),
        ("<f:Back pain> since last year", {"Back pain": "since last year"}),
        ("A 3-day history of <f:cough>.", {"cough": "3-day history"}),
        ("Two days ago she developed <f:rash>.", {"rash": "Two days ago"}),
        ("<f:dyspnea> x 4 days", {"dyspnea": "x 4 days"}),
        ("No <f:fever> for 3 days.", {}),
        ("<f:pneumonia>, given <m:ceftriaxone> for 7 days.", {}),
        ("<f:Appendicitis> with <o:appendectomy> 10 years ago.", {}),
        ("<f:Cough>; rest for the next 3 days.", {}),
        ("<f:Cough> since [DATE].", {}),
        ("<f:Cough>. Seen 3 days ago.", {}),
    ],
)
def test_onset(text: str, expected: dict[str, str]) -> None:
    """Behind it, before it, of each member of a list; never another's, never of what is denied."""
    assert since(text) == expected


def test_a_sentence_without_end_takes_no_square_of_its_length() -> None:
    unit = "<f:pain> for 3 days after <m:iron> and 2 weeks of the <f:rash> since last year "
    begin = time.process_time()
    since(unit * 300)
    small = time.process_time() - begin
    begin = time.process_time()
    since(unit * 1200)
    assert time.process_time() - begin < 10 * small + 0.5
