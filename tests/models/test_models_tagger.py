"""What the shipped models do with text."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from models.bundle import shelf_bundle
from models.tagger import Execution, Tagger

NAMES = ("wardstream-entities", "wardstream-phi")
NOTE = (
    "Mr. Tobias Lindqvist, 71 y/o with COPD and hypertension, was admitted to Alder Creek Hospital on 03/14/2023 with fever and cough. "
    "He denies chest pain. Started ceftriaxone 1 g IV daily and azithromycin 500 mg PO daily x 5 days. Chest x-ray showed pneumonia.\n"
)


@pytest.fixture(scope="module", params=NAMES)
def tagger(request: pytest.FixtureRequest) -> Iterator[Tagger]:
    """Each shipped model, on two threads."""
    with Tagger.load(shelf_bundle(request.param), execution=Execution(threads=2)) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def entities() -> Iterator[Tagger]:
    with Tagger.load(shelf_bundle("wardstream-entities")) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def phi() -> Iterator[Tagger]:
    with Tagger.load(shelf_bundle("wardstream-phi")) as loaded:
        yield loaded


def test_golden_answers_hold(tagger: Tagger) -> None:
    """On this machine the model gives the spans, and nearly the logits, that its bundle records."""
    golden = json.loads((shelf_bundle(tagger.manifest.name) / "golden.json").read_text(encoding="utf-8"))
    for case in golden["cases"]:
        logits = tagger.logits(case["text"])
        assert np.abs(logits[: len(case["logits"])] - np.array(case["logits"])).max() <= golden["tolerance"]
        found = tagger.tag(case["text"])
        assert [[s.start, s.end, s.label] for s in found] == [row[:3] for row in case["spans"]]
        assert all(abs(s.score - row[3]) <= golden["score_tolerance"] for s, row in zip(found, case["spans"], strict=True))


def test_products_of_eight_bits_do_not_overflow(tagger: Tagger) -> None:
    """With or without VNNI the same integers: only the rounding of floats is left between this CPU and the one that wrote the answers."""
    golden = json.loads((shelf_bundle(tagger.manifest.name) / "golden.json").read_text(encoding="utf-8"))
    for case in golden["cases"]:
        assert np.abs(tagger.logits(case["text"])[: len(case["logits"])] - np.array(case["logits"])).max() < 0.02


def test_a_note_alone_and_in_company_gives_the_same(tagger: Tagger) -> None:
    """Neither the batch nor the number of threads changes a byte of the result."""
    texts = [NOTE * k for k in (1, 7, 3)] + ["", "x", NOTE.upper()]
    together = tagger.tag_many(texts)
    with Tagger.load(shelf_bundle(tagger.manifest.name), execution=Execution(threads=1)) as single:
        assert together == [single.tag(text) for text in texts]
    assert together == list(reversed(tagger.tag_many(list(reversed(texts)))))


def test_one_tagger_serves_many_threads(tagger: Tagger) -> None:
    """Callers in several threads get what a single caller gets."""
    expected = tagger.tag(NOTE)
    answers: list[object] = []
    threads = [threading.Thread(target=lambda: answers.extend(tagger.tag(NOTE) for _ in range(5))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [expected] * 20


def test_offsets_are_exact_in_long_texts_with_accents_and_emoji(entities: Tagger) -> None:
    """Spans point at the words they mean after thousands of characters, wide characters and combining marks."""
    filler = "Naïve café résumé 😀 e\u0301tude — ﬁne. " * 200
    text = filler + "Patient takes metformin 500 mg daily."
    found = {(text[s.start : s.end], s.label) for s in entities.tag(text) if s.start > len(filler)}
    assert ("metformin", "medication") in found
    assert ("500 mg", "dosage") in found


def test_spans_are_ordered_apart_and_end_at_words(tagger: Tagger) -> None:
    """Spans never overlap, never end inside a run of letters, and never begin or end with white space."""
    text = NOTE * 12
    last = 0
    for span in tagger.tag(text):
        assert last <= span.start < span.end <= len(text)
        assert 0 < span.score <= 1
        assert span.score == round(span.score, 4)
        assert not (span.start and text[span.start - 1].isalpha() and text[span.start].isalpha())
        assert not (span.end < len(text) and text[span.end - 1].isalpha() and text[span.end].isalpha())
        assert text[span.start : span.end] == text[span.start : span.end].strip()
        last = span.end


@pytest.mark.parametrize(
    "text", ["x" * 10**6, "e" + "\u0301" * 10**5, " " * 10**6, "\x00\ud7ff\u200b" * 1000], ids=["token", "marks", "blank", "odd"]
)
def test_hostile_texts_take_linear_time(tagger: Tagger, text: str) -> None:
    """A million characters without a break, or marks without end, are over within seconds."""
    began = time.monotonic()
    tagger.tag(text)
    assert time.monotonic() - began < 10


def test_version_names_the_exact_weights(tagger: Tagger) -> None:
    """Name, version and the first twelve digits of the graph's digest."""
    manifest = tagger.manifest
    assert tagger.version == f"{manifest.name}@{manifest.version}#{manifest.files['model.onnx'].sha256[:12]}"


ENTITY_CASES = {
    "Lisinopril 10 mg tablet PO daily x 30 days": {"Lisinopril": "medication", "10 mg": "dosage", "tablet": "form", "PO": "route", "daily": "frequency", "30 days": "duration"},
    "Patient denies chest pain, nausea or vomiting.": {"chest pain": "finding", "nausea": "finding", "vomiting": "finding"},
    "History of type 2 diabetes mellitus, hypertension and atrial fibrillation.": {"type 2 diabetes mellitus": "problem", "hypertension": "problem", "atrial fibrillation": "problem"},
    "She underwent laparoscopic cholecystectomy.": {"laparoscopic cholecystectomy": "procedure"},
    "BP 148/92, HR 88, SpO2 97%": {"BP": "test", "148/92": "value", "HR": "test", "88": "value", "SpO2": "test", "97%": "value"},
    "Potassium 6.1 mEq/L, creatinine 2.4": {"Potassium": "test", "6.1 mEq/L": "value", "creatinine": "test", "2.4": "value"},
    "Give vancomycin 1 g IV q12h for cellulitis": {"vancomycin": "medication", "1 g": "dosage", "IV": "route", "q12h": "frequency", "cellulitis": "problem"},
    "Started on warfarin for pulmonary embolism.": {"warfarin": "medication", "pulmonary embolism": "problem"},
    "CT of the abdomen showed acute appendicitis.": {"appendicitis": "problem"},
    "CHF EXACERBATION, CONTINUE FUROSEMIDE 40 MG IV BID": {"FUROSEMIDE": "medication", "40 MG": "dosage", "IV": "route", "BID": "frequency"},
}  # fmt: skip


def test_entities_of_plain_sentences_are_found(entities: Tagger) -> None:
    """At least nine tenths of the mentions of self-written sentences come out whole, with their type."""
    wanted = found = 0
    for text, expected in ENTITY_CASES.items():
        spans = {(text[s.start : s.end], s.label) for s in entities.tag(text)}
        wanted += len(expected)
        found += sum(pair in spans for pair in expected.items())
    assert found / wanted >= 0.9


PHI_CASES = {
    "Mr. Tobias Lindqvist was seen at Alder Creek Hospital on March 14, 2023.": [
        "Tobias Lindqvist",
        "Alder Creek Hospital",
        "March 14, 2023",
    ],
    "MRN: 00481516, DOB 04/08/1952, SSN 123-45-6789": ["00481516", "04/08/1952", "123-45-6789"],
    "Call his wife Beatriz at (555) 867-5309 or email beatriz.l@example.org.": [
        "Beatriz",
        "(555) 867-5309",
        "beatriz.l@example.org",
    ],
    "PATIENT: OKAFOR, CHIDI  ADDRESS: 42 WILLOW LANE, DAYTON, OH 45402": ["OKAFOR, CHIDI", "42 WILLOW LANE", "DAYTON", "45402"],
    "Is apixaban safe in a 67 yo M, Dennis R., admitted to Fairview on 2/3/24 (MRN FV-20391)?": [
        "Dennis R.",
        "2/3/24",
        "FV-20391",
    ],
    "The patient is a 94-year-old woman followed by Dr. Yamamoto.": ["94", "Yamamoto"],
    "Mr. Smith was seen today by Dr. Long.": ["Smith", "Long"],
    "seen by dr. patel on 5 june 2021, lives in boise": ["patel", "5 june 2021", "boise"],
}


def test_identifiers_of_plain_sentences_are_covered(phi: Tagger) -> None:
    """At least nine tenths of the identifiers of self-written sentences are covered to the last letter."""
    missed = []
    for text, values in PHI_CASES.items():
        hit = {k for s in phi.tag(text) for k in range(s.start, s.end)}
        for value in values:
            at = text.index(value)
            if not {k for k in range(at, at + len(value)) if text[k].isalnum()} <= hit:
                missed.append(value)
    assert len(missed) <= 0.1 * sum(map(len, PHI_CASES.values())), missed


def test_clinical_words_are_left_alone(phi: Tagger) -> None:
    """Eponyms, doses, vital signs, scores and ages up to 89 are no identifiers: at most one of eight such texts is touched."""
    texts = (
        "Parkinson's disease, Foley catheter, BP 132/84, HR 78, metoprolol 25 mg twice daily.",
        "65-year-old man with hypertension and diabetes since 2015. Pain 8/10.",
        "WBC 12.4, Hgb 10.1, platelets 250,000. Follow up in 2 weeks.",
        "Is dabigatran safe in a 54 yo woman with Graves disease and CKD stage 3?",
        "Allergies: penicillin, sulfa. Glasgow Coma Scale 15, strength 5/5.",
        "HISTORY OF PRESENT ILLNESS: PATIENT DENIES CHEST PAIN, NAUSEA OR VOMITING.",
        "Degenerative disc disease at L4-L5; negative Babinski; EF 35%.",
        "He drinks two beers a day and quit smoking in 2010.",
    )
    touched = [text for text in texts if phi.tag(text)]
    assert len(touched) <= 1, touched
