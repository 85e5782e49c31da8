"""The generator of texts with gold identifiers, on names and base texts written for the tests."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from random import Random

import pytest

from training.data.bases import BOUNDARY, without_patient
from training.data.document import Document, GoldSpan
from training.data.labels import PHI_TYPES
from training.data.lexicon import Lexicon
from training.phi.corpus import TEMPLATES, PhiMaker
from training.phi.gazetteer import Gazetteer, own_lists, own_origins, own_patterns, toml_of
from training.phi.noise import edited, joined_labels, noisy, run_on, typos, wrapped
from training.phi.report import marked
from training.phi.safe_harbor import KINDS
from training.phi.values import Values

GAZETTEER = Gazetteer(
    first=("Ana", "Otto"),
    last=("Bell", "Oakes"),
    rare_first=("zedric",),
    rare_last=("quux",),
    places=(("Ames", "Iowa", "IA", "50010", "Story"), ("Barre", "Vermont", "VT", "05641", "Washington")),
    hospitals=("Elm Hospital", "Saint Mary Medical Center"),
    origins=own_origins("train"),
    lists=own_lists(),
    patterns=own_patterns(),
)
WORDS = {
    "common_drugs": ["zincamab"],
    "problems": ["brown fever"],
    "symptoms": ["itch"],
    "procedures": ["tonsillectomy"],
    "tests": ["CBC"],
    "analytes": [[name, "mmol/L", 1, 9] for name in ("sodium", "potassium", "chloride", "calcium", "phosphate")],
}
LEXICON = Lexicon(("oxydone",), ("dry ague",), WORDS)
BASES = (
    "The patient is a 54-year-old man. He was seen by Dr. Smith on 3/4/2019.\nNo fever. Patient denies itch. It began in March.",
    "CONSTITUTIONAL: no weight loss.\nBP 120/80. The patient was born in Norwich.",
)


def maker(seed: int = 3) -> PhiMaker:
    return PhiMaker(GAZETTEER, LEXICON, BASES, seed)


def all_documents(count: int, seed: int = 3) -> list[Document]:
    made = maker(seed)
    return [*made.injected(count), *made.templates(count), *made.general(count), *made.negatives(count)]


def digest() -> str:
    """SHA-256 over texts and spans of the first 200 documents."""
    total = hashlib.sha256()
    for document in all_documents(50):
        total.update(repr((document.id, document.text, document.spans)).encode())
    return total.hexdigest()


def values(seed: int = 1) -> Values:
    return Values(Random(seed), GAZETTEER, LEXICON)


def slots_of(names: tuple[str, ...]) -> set[str]:
    """Slots of the template groups; a table's head and row are two templates."""
    rows: Iterator[str | list[str]] = chain.from_iterable(toml_of(f)[n] for f in TEMPLATES for n in toml_of(f) if n in names)
    return {slot for row in rows for slot in re.findall(r"\{(\w+)\}", row if isinstance(row, str) else "".join(row))}


WITH = (
    "headers", "signatures", "sentences", "tables", "queries", "general", "questions", "openers", "subjects", "predicates",
    "adjuncts",
)  # fmt: skip
WITHOUT = (
    "negatives",
    "general_negatives",
    "plain_tables",
    "plain_openers",
    "plain_subjects",
    "plain_predicates",
    "plain_adjuncts",
)


def test_two_processes_make_the_same_documents() -> None:
    """The first 200 documents are the same in two processes with other hash seeds, and others under another seed."""
    code = "from tests.unit.test_training_phi import digest; print(digest())"
    root = Path(__file__).resolve().parents[2]
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            cwd=root,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert found == {digest() + "\n"}
    assert all_documents(5, seed=4) != all_documents(5)


def test_every_gold_span_is_trimmed_text_of_a_known_type() -> None:
    """Spans lie inside the text, do not overlap, begin and end with no blank, and hold letters or digits."""
    for document in all_documents(400):
        end = 0
        for span in document.spans:
            words = document.text[span.start : span.end]
            assert end <= span.start < span.end <= len(document.text)
            assert words == words.strip()
            assert any(c.isalnum() for c in words)
            assert len(span.types) == 1
            assert span.types[0] in PHI_TYPES
            end = span.end
        assert document.annotated == frozenset(PHI_TYPES)


def test_a_surrogate_stands_where_its_span_says() -> None:
    """Without typing errors or changes of case, a span's text is a value that its slot can give: here the only first name."""
    one = replace(GAZETTEER, first=("Zebedee",), rare_first=("zebedee",), origins={})
    made = PhiMaker(one, LEXICON, BASES, 9)
    named = [d for d in made.injected(200) if "Zebedee " in d.text]
    assert named
    for document in named:
        for match in re.finditer(r"Zebedee\b", document.text):
            assert any(s.start <= match.start() < s.end for s in document.spans), marked(document)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_safe_harbor_comes_in_several_formats(kind: str) -> None:
    """Each of the 18 kinds is reachable from a template and has at least three shapes; every value of it is labelled."""
    assert set(KINDS[kind]) & slots_of(WITH)
    drawn = values()
    shapes = set()
    for slot in KINDS[kind]:
        for _ in range(200):
            text, label = drawn.of(slot)
            assert label in PHI_TYPES
            shapes.add(re.sub(r"[^\W\d_]+", "a", re.sub(r"\d", "9", text)))
    assert len(KINDS) == 18
    assert len(shapes) >= 3


def test_the_generated_corpus_holds_every_kind() -> None:
    """Among some thousand short texts every kind was drawn more than once."""
    made = maker()
    made.templates(1500)
    for kind, slots in KINDS.items():
        assert sum(made.drawn[slot] for slot in slots) > 1, kind


def test_every_slot_has_a_value_and_draws_alike() -> None:
    """Each slot of every template gives a text and a label or none, the same from the same seed."""
    for slot in sorted(slots_of(WITH + WITHOUT)):
        drawn = [values(k).of(slot) for k in range(20)]
        assert drawn == [values(k).of(slot) for k in range(20)]
        assert all(text and (label is None or label in PHI_TYPES) for text, label in drawn)


def test_hard_negatives_hold_no_identifier() -> None:
    """No slot of a text that stands for "nothing here" gives a label, and such documents have no spans."""
    drawn = values()
    for slot in sorted(slots_of(WITHOUT)):
        assert {drawn.of(slot)[1] for _ in range(50)} == {None}, slot
    assert all(not d.spans for d in maker().negatives(300))


def test_younger_ages_and_years_are_no_identifiers() -> None:
    """Ages up to 89 and years alone carry no label; ages from 90 do."""
    drawn = values()
    assert all(int(drawn.age()[0]) <= 89 and drawn.age()[1] is None for _ in range(200))
    assert drawn.year()[1] is None
    ages = [drawn.old_age() for _ in range(200)]
    assert {label for _, label in ages} == {"AGE"}
    assert all(int(text) >= 90 for text, _ in ages if text.isdigit())


def test_the_patient_keeps_the_name_within_a_document() -> None:
    """All slots for the patient name one person until the next document."""
    drawn = values()
    first, last = drawn.patient_first()[0], drawn.patient_last()[0]
    assert drawn.patient_full()[0] == f"{first} {last}"
    assert drawn.patient_listed()[0] == f"{last}, {first}"
    drawn.renew()
    assert (drawn.patient_first()[0], drawn.patient_last()[0]) != (first, last)


def test_identifiers_of_base_texts_give_way_to_surrogates() -> None:
    """Names after titles, dates and places of a base text are replaced and marked; the patient becomes a name at times."""
    made = [d for d in maker().injected(300) if d.text.startswith("The patient is a 54-year-old man. He was seen by Dr. ")]
    assert made
    assert not any("Smith on 3/4/2019" in d.text for d in made)
    every = maker().injected(300)
    assert any(d.text[s.end :].startswith(" is a 54-year-old") for d in every for s in d.spans if s.types == ("NAME",))
    assert not any("Norwich" in d.text for d in every)


def test_a_title_is_not_cut_from_its_name() -> None:
    """Texts are cut at ends of sentences and lines, never between a title and the name that it announces."""
    parts = BOUNDARY.split("Seen by Dr. Smith today. Mrs. Jones agrees.\nMr. Lee left (early). Done")
    assert parts == ["Seen by Dr. Smith today.", "Mrs. Jones agrees.", "Mr. Lee left (early).", "Done"]


def test_edits_move_spans_and_never_cross_their_edges() -> None:
    """Spans follow what is inserted before and inside them; an edit over an edge is left out."""
    text, spans = edited(
        "seen by Ana Bell now", [GoldSpan(8, 16, ("NAME",))], [(0, 4, "examined"), (11, 12, "\n\n"), (15, 18, "x")]
    )
    assert text == "examined by Ana\n\nBell now"
    assert [text[s.start : s.end] for s in spans] == ["Ana\n\nBell"]


def test_noise_keeps_letters_of_spans_apart_from_the_rest() -> None:
    """Runs, wraps, lost blanks and typing errors change texts, yet the span's neighbours stay outside it."""
    text = "Patient: Anabella Bell. Seen in clinic. MRN: 123456, stable and improving daily.\nDone."
    spans = [GoldSpan(9, 22, ("NAME",)), GoldSpan(45, 51, ("ID",))]
    random = Random(2)
    changed = set()
    for _ in range(200):
        for new, moved in (
            run_on(text, spans, random),
            wrapped(text, spans, 30),
            joined_labels(text, spans, random),
            typos(text, spans, random, 0.5),
            noisy(text, spans, random),
        ):
            changed.add(new)
            name, number = (new[s.start : s.end] for s in moved)
            assert set(name.lower()) <= set("anabel \n")
            assert len(name) >= len("Anabella Bell") - 2
            assert number == "123456"
    assert len(changed) > 50


def test_marked_text_shows_each_span_with_its_type() -> None:
    """A person reads the type and the words of each span in place."""
    document = Document("a", "Dr. Bell, 3/4", (GoldSpan(4, 8, ("NAME",)), GoldSpan(10, 13, ("DATE",))), frozenset(PHI_TYPES))
    assert marked(document) == "Dr. [NAME Bell], [DATE 3/4]"


def test_a_base_text_keeps_no_name_of_its_patient() -> None:
    """The metadata write names in small letters, misspell or lack them: what the note itself introduces goes too."""
    note = (
        "Jane Torres is a pleasant 40-year-old female. Ms. Torres denies pain. TORRES, JANE. Has Mason syndrome and a mason jar."
    )
    expected = (
        "The patient is a pleasant 40-year-old female. The patient denies pain. The patient, The patient. Has Mason syndrome and"
    )
    assert without_patient(note, "jane", "tores").startswith(expected)
    assert "Roe" not in without_patient("Richard Roe was a 50-year-old male. Roe smokes.", "", "")
