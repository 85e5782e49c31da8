"""On which side a problem or finding is."""

from __future__ import annotations

import time

import pytest

from agents.extract.mentions import Origin, read_given


def side(marked: str) -> str:
    """Of the first ``<f:finding>`` of the text; ``<a:...>`` is anatomy."""
    text, given, rest = "", [], marked
    types = {"f": "finding", "a": "anatomy", "o": "procedure"}
    while "<" in rest:
        plain, rest = rest.split("<", 1)
        inside, rest = rest.split(">", 1)
        text += plain
        given.append((len(text), len(text) + len(inside) - 2, types[inside[0]]))
        text += inside[2:]
    result = read_given("note", text + rest, given, origin=Origin("o", "p", "v"))
    return next(m.laterality for m in result.mentions if m.type == "finding")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<f:left-sided weakness>", "left"),
        ("<f:pain> in the <a:right knee>", "right"),
        ("<f:pain> in the right <a:knee>", "right"),
        ("Bilateral mild <f:crackles>.", "bilateral"),
        ("<f:Wheezing> bilaterally.", "bilateral"),
        ("<f:edema> of both <a:legs>", "bilateral"),
        ("L <a:hip> <f:pain>", "left"),
        ("<f:tenderness> on the right side", "right"),
        ("<f:tenderness> of the <a:left wrist> and <a:right wrist>", "bilateral"),
        ("<f:swelling>; left <o:knee replacement>", ""),
        ("<f:dysphagia> for both solids and liquids", ""),
        ("both <f:bradyarrhythmia> and tachyarrhythmia", ""),
        ("<f:Nausea> right after lunch, then left the clinic.", ""),
        ("He left the hospital with <f:pain>.", ""),
        ("<f:left shift>", ""),
        ("Right-handed, <f:tremor>.", ""),
        ("<f:fracture> at L4", ""),
    ],
)
def test_side(text: str, expected: str) -> None:
    """Its own words, its site's, those right beside; words that only look like a side are none."""
    assert side(text) == expected


def test_a_sentence_without_end_takes_no_square_of_its_length() -> None:
    unit = "left <f:pain> in both <a:legs>, "
    begin = time.process_time()
    side(unit * 300)
    small = time.process_time() - begin
    begin = time.process_time()
    side(unit * 1200)
    assert time.process_time() - begin < 10 * small + 0.5
