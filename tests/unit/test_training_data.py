"""Readers, alignment and generators of training data, on samples written for the tests."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np

from models.bundle import shelf_bundle
from models.decoding import ScoredSpan
from models.tokens import WordPieces
from training.data.alignment import SILENT, align
from training.data.brat import read_document
from training.data.document import Document, GoldSpan
from training.data.iob import read_bc5cdr
from training.data.labels import ENTITY_TYPES, bio_labels
from training.data.lexicon import Lexicon, load_lexicon
from training.data.orders import OrderLines
from training.data.phee import read_phee
from training.data.pubtator import read_ncbi
from training.data.replaced import names_of, replaced
from training.data.symptoms import settled, symptom_heads
from training.scoring import covered, strict

OPEN = ("problem", "finding")


def shown(document: Document) -> list[tuple[str, tuple[str, ...]]]:
    return [(document.text[s.start : s.end], s.types) for s in document.spans]


def test_iob_sentences_become_text_with_offsets(tmp_path: Path) -> None:
    """Tokens are joined by spaces, neighbouring B labels stay apart, I continues, sentences join as asked."""
    (tmp_path / "x.tsv").write_text(
        "Folic\tB-Chemical\nacid\tI-Chemical\nzinc\tB-Chemical\nhelps\tO\n\nNo\tO\nrash\tB-Disease\n", encoding="utf-8"
    )
    one, two = read_bc5cdr(tmp_path / "x.tsv")
    assert one.text == "Folic acid zinc helps"
    assert shown(one) == [("Folic acid", ("medication",)), ("zinc", ("medication",))]
    assert shown(two) == [("rash", OPEN)]
    assert shown(read_bc5cdr(tmp_path / "x.tsv", joined=2)[0])[-1] == ("rash", OPEN)


def test_pubtator_title_and_abstract_share_offsets(tmp_path: Path) -> None:
    """Offsets run over the title, one space and the abstract."""
    (tmp_path / "x.txt").write_text(
        "7|t|On gout.\n7|a|Gout hurts.\n7\t3\t7\tgout\tDiseaseClass\tD1\n7\t9\t13\tGout\tSpecificDisease\tD1\n", encoding="utf-8"
    )
    (document,) = read_ncbi(tmp_path / "x.txt")
    assert shown(document) == [("gout", OPEN), ("Gout", OPEN)]


def test_brat_keeps_what_it_cannot_trust_as_unknown(tmp_path: Path) -> None:
    """Mapped types become spans; family history and spans that do not give their words become unknown ranges."""
    (tmp_path / "1.txt").write_text("Mother had gout. He took aspirin for pain.", encoding="utf-8")
    (tmp_path / "1.ann").write_text(
        "T1\tFamily_history 0 15\tMother had gout\nT2\tMedication 25 32\taspirin\nT3\tSign_symptom 37 40\tpain\nT4\tSex 17 19\tHe\n",
        encoding="utf-8",
    )
    document = read_document(tmp_path / "1.txt")
    assert shown(document) == [("aspirin", ("medication",))]
    assert document.unknown == ((0, 15), (37, 40))
    assert "form" not in document.annotated


def test_phee_marks_arguments_and_promises_nothing_else(tmp_path: Path) -> None:
    """Nested arguments become spans; no type counts as completely annotated."""
    event = {"event_id": "E1", "Treatment": {"text": [["oral zinc"]], "start": [[0]], "Drug": {"text": [["zinc"]], "start": [[5]]}, "Route": {"text": [["oral"]], "start": [[0]]}},
             "Effect": {"text": [["rash"]], "start": [[17]]}}  # fmt: skip
    (tmp_path / "x.json").write_text(
        json.dumps({"id": "a", "context": "oral zinc caused rash", "annotations": [{"events": [event]}]}) + "\n", encoding="utf-8"
    )
    (document,) = read_phee(tmp_path / "x.json")
    assert shown(document) == [("oral", ("route",)), ("zinc", ("medication",)), ("rash", OPEN)]
    assert document.annotated == frozenset()


def test_open_mentions_are_settled_by_their_last_word() -> None:
    """What is called a finding elsewhere is a finding; unknown words are problems."""
    known = Document("a", "chest pains", (GoldSpan(0, 11, ("finding",)),), frozenset(ENTITY_TYPES))
    unsettled = Document("b", "back pain and gout", (GoldSpan(0, 9, OPEN), GoldSpan(14, 18, OPEN)), frozenset(OPEN))
    assert shown(settled([unsettled], symptom_heads([known]))[0]) == [("back pain", ("finding",)), ("gout", ("problem",))]


def test_alignment_allows_what_the_corpus_says_and_hardly_what_it_is_silent_about() -> None:
    """Inside a span one label; outside O, silent types at a small weight, none for function words; unknown ranges anything."""
    pieces = WordPieces(shelf_bundle("wardstream-entities") / "tokenizer.json")
    document = Document(
        "a", "hydroxychloroquine for severe pain", (GoldSpan(0, 18, ("medication",)),), frozenset({"medication"}), ((30, 34),)
    )
    example = align(document, pieces, ENTITY_TYPES)
    labels = bio_labels(ENTITY_TYPES)
    drug = 1 + 2 * ENTITY_TYPES.index("medication")
    rows = [{labels[k]: float(w) for k, w in enumerate(row) if w} for row in example.weight]
    last = len(rows) - 1
    split = next(k for k, row in enumerate(rows) if row == {"O": 1.0})
    assert split > 1
    assert rows[0] == {"B-medication": 1.0}
    assert all(row == {"I-medication": 1.0} for row in rows[1:split])
    assert rows[last - 1]["O"] == 1.0
    assert rows[last - 1]["B-test"] == np.float32(SILENT)
    assert example.weight[last - 1, drug] == 0
    assert set(rows[last].values()) == {1.0}
    assert len(rows[last]) == len(labels)


LEXICON = Lexicon(("zincamab", "oxydone"), ("brown fever", "dry ague"), load_lexicon.__globals__["tomllib"].loads(
    (Path(load_lexicon.__globals__["__file__"]).parent / "words.toml").read_text(encoding="utf-8")))  # fmt: skip


def test_order_lines_are_deterministic_and_exact() -> None:
    """The same seed gives the same documents, another seed others; every span is trimmed text of a known type; all types occur."""
    made = OrderLines(LEXICON, 5).documents(200)
    assert made == OrderLines(LEXICON, 5).documents(200)
    assert made != OrderLines(LEXICON, 6).documents(200)
    for document in made:
        for span in document.spans:
            words = document.text[span.start : span.end]
            assert words
            assert words == words.strip()
    assert {name for d in made for s in d.spans for name in s.types} == set(ENTITY_TYPES)


def test_strict_scores_count_by_hand() -> None:
    """One right, one wrong type, one missed; unannotated types and unknown ranges do not count."""
    document = Document(
        "a",
        "x" * 60,
        (GoldSpan(0, 5, ("problem",)), GoldSpan(10, 15, ("test",)), GoldSpan(20, 25, OPEN)),
        frozenset({"problem", "finding", "test"}),
        ((50, 60),),
    )
    found = [
        ScoredSpan(0, 5, "problem", 1),
        ScoredSpan(10, 15, "problem", 1),
        ScoredSpan(20, 25, "finding", 1),
        ScoredSpan(30, 35, "route", 1),
        ScoredSpan(50, 55, "test", 1),
    ]
    counts = strict([document], [found])["all"]
    assert (counts.right, counts.wrong, counts.missed) == (2, 1, 1)


def test_a_value_is_covered_only_to_its_last_letter() -> None:
    """Titles need no cover; one letter short is touched, not covered."""
    text = "seen by Dr. Ana Bell today"
    assert covered(text, 8, 20, [ScoredSpan(12, 20, "NAME", 1)]) == (True, True)
    assert covered(text, 8, 20, [ScoredSpan(12, 19, "NAME", 1)]) == (True, False)
    assert covered(text, 8, 20, []) == (False, False)


def test_data_and_generators_import_no_torch() -> None:
    """Reading and generating training data works where torch is not installed."""
    code = "import sys, training.data.corpora, training.data.alignment, training.phi.corpus, training.scoring, training.recipe; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_replaced_mentions_keep_their_spans_and_the_text_around_them() -> None:
    """Spans hold the new names; what stands between them, abbreviations and open types stay; unknown ranges move along."""
    text = "Gout (GT) was treated with aspirin. Gout came back; aspirin and unclear words helped the rash."
    spans = [("Gout", 0, ("problem",)), ("GT", 0, ("problem",)), ("aspirin", 0, ("medication",)), ("Gout", 9, ("problem",)),
             ("aspirin", 40, ("medication",)), ("rash", 0, OPEN)]  # fmt: skip
    gold = tuple(GoldSpan(at := text.index(word, start), at + len(word), types) for word, start, types in spans)
    unknown = (text.index("unclear"), text.index("unclear") + len("unclear words"))
    document = Document("d", text, gold, frozenset(), (unknown,))
    lexicon = Lexicon(("metformin hydrochloride",), ("chronic granulomatous disease",), {})
    names = names_of([Document("other", "sarcoidosis", (GoldSpan(0, 11, ("problem",)),), frozenset())], lexicon)
    (one,) = replaced([document], names, share=1.0, seed=1)
    found = [one.text[s.start : s.end] for s in one.spans]
    assert found[1] == "GT"
    assert found[5] == "rash"
    assert found[0] == found[3]
    assert found[0] in ("Sarcoidosis", "Chronic granulomatous disease")
    assert found[2] == found[4] == "metformin hydrochloride"
    assert [one.text[start:end] for start, end in one.unknown] == ["unclear words"]
    assert [s.types for s in one.spans] == [s.types for s in gold]
    between = [one.text[a.end : b.start] for a, b in pairwise(one.spans)]
    assert between == [text[a.end : b.start] for a, b in pairwise(gold)]
    assert replaced([document], names, share=0.0, seed=1)[0].text == text
