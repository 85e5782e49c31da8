"""Annotation files of every format become documents, and what is wrong with one is said by code and line."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bundle import shelf_bundle
from models.decoding import spans_of
from models.tokens import WordPieces
from schemas.findings import FindingsNote
from schemas.labels import ReviewedLabel, ReviewedSpan
from training.data.alignment import align, alignment_report
from training.data.brat import read_brat
from training.data.document import Document, GoldSpan
from training.data.errors import DataError
from training.data.iob import read_iob
from training.data.labels import ENTITY_TYPES, LABEL_MAPS, load_label_maps
from training.data.own import FORMATS, read_annotated
from training.data.pubtator import read_pubtator
from training.data.splits import for_development, overlaps, without_duplicates

OWN = LABEL_MAPS["own"]
TEXT = "Took aspirin for fever."
SPANS = [("aspirin", ("medication",)), ("fever", ("finding",))]


def shown(document: Document) -> list[tuple[str, tuple[str, ...]]]:
    return [(document.text[s.start : s.end], s.types) for s in document.spans]


def written(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "labels",
    [
        ("O", "B-medication", "I-medication", "O", "B-finding"),
        ("O", "B-medication", "E-medication", "O", "S-finding"),
        ("O", "B-medication", "L-medication", "O", "U-finding"),
        ("O", "I-medication", "I-medication", "O", "I-finding"),
        ("O", "medication", "medication", "O", "finding"),
    ],
    ids=["BIO", "BIOES", "BILOU", "IO", "bare"],
)
def test_iob_schemes_say_the_same(labels: tuple[str, ...], tmp_path: Path) -> None:
    """Whatever the scheme, a mention of two tokens and one of one token come out."""
    tokens = ("Took", "folic", "acid", "for", "fever")
    path = written(tmp_path, "x.tsv", "".join(f"{t}\t{label}\n" for t, label in zip(tokens, labels, strict=True)))
    (document,) = read_iob(path, OWN)
    assert shown(document) == [("folic acid", ("medication",)), ("fever", ("finding",))]


def test_docstart_lines_begin_documents(tmp_path: Path) -> None:
    """Sentences between the lines belong together, however many."""
    path = written(tmp_path, "x.conll", "-DOCSTART- -X- O O\n\na NN O\n\nb NN O\n\n-DOCSTART- -X- O O\n\nc NN O\n")
    assert [d.text for d in read_iob(path, OWN, joined=1)] == ["a b", "c"]


def test_label_studio_takes_the_last_finished_annotation(tmp_path: Path) -> None:
    """Cancelled annotations and tasks without one are left out; a JSON list and JSON Lines read alike."""

    def result(start: int, end: int, label: str) -> dict[str, object]:
        return {"type": "labels", "value": {"start": start, "end": end, "labels": [label]}}

    task = {
        "id": 7,
        "data": {"text": TEXT},
        "annotations": [
            {"result": [result(0, 4, "finding")]},
            {"result": [result(5, 12, "medication"), result(17, 22, "finding")]},
            {"result": [], "was_cancelled": True},
        ],
    }
    rows = [task, {"id": 8, "data": {"text": "x"}, "annotations": []}]
    for content in (json.dumps(rows), "\n".join(map(json.dumps, rows))):
        (document,) = read_annotated("label-studio", written(tmp_path, "x.json", content))
        assert document.id == "x-7"
        assert shown(document) == SPANS


@pytest.mark.parametrize(
    "row",
    [
        {"text": TEXT, "label": [[5, 12, "medication"], [17, 22, "finding"]]},
        {"data": TEXT, "labels": [[5, 12, "medication"], [17, 22, "finding"]]},
        {
            "text": TEXT,
            "entities": [
                {"start_offset": 5, "end_offset": 12, "label": "medication"},
                {"start_offset": 17, "end_offset": 22, "label": "finding"},
            ],
        },
    ],
)
def test_doccano_in_all_its_forms(row: dict[str, object], tmp_path: Path) -> None:
    """Lists of triples and lists of objects."""
    (document,) = read_annotated("doccano", written(tmp_path, "x.jsonl", json.dumps(row) + "\n\n"))
    assert shown(document) == SPANS


def test_reviewed_labels_say_what_they_annotate(tmp_path: Path) -> None:
    """Our own records go in as they lie on the topic; only the types that the reviewer was asked for count as complete."""
    label = ReviewedLabel(
        id="r1", sample="s1", subject="T0KEN", note=FindingsNote(path="n", text=TEXT, sha256="0"), reviewer="p7", guideline="1", decided="2026-01-01T00:00:00Z",
        annotated=("medication", "finding"), spans=(ReviewedSpan(start=5, end=12, type="medication"), ReviewedSpan(start=17, end=22, type="finding")),
    )  # fmt: skip
    (document,) = read_annotated("reviewed", written(tmp_path, "x.jsonl", msgspec.json.encode(label).decode()))
    assert shown(document) == SPANS
    assert document.annotated == {"medication", "finding"}


BAD = {
    "iob": ("x.tsv", "alone\n", "columns"),
    "pubtator": ("x.txt", "1|t|A.\n1|a|B.\n1\tx\t2\tA\tmedication\tD\n", "offset"),
    "label-studio": ("x.json", '{"data": {}}\n', "record"),
    "doccano": ("x.jsonl", '{"text": "short", "label": [[2, 99, "finding"]]}\n', "offset"),
    "reviewed": ("x.jsonl", "{}\n", "record"),
}


@pytest.mark.parametrize("kind", sorted(BAD))
def test_bad_files_are_named_with_code_and_line_and_no_text(kind: str, tmp_path: Path) -> None:
    """An error says where, never what was written there."""
    name, content, code = BAD[kind]
    with pytest.raises(DataError) as caught:
        read_annotated(kind, written(tmp_path, name, content))
    assert caught.value.code == code
    assert caught.value.line > 0
    assert "short" not in str(caught.value)


def test_a_bad_brat_line_is_named(tmp_path: Path) -> None:
    """A text-bound line without offsets."""
    written(tmp_path, "x.txt", TEXT)
    written(tmp_path, "x.ann", "T1\tmedication 5 12\taspirin\nT2\tmedication\taspirin\n")
    with pytest.raises(DataError, match=r"annotation: x\.ann, line 2"):
        read_brat(tmp_path, OWN)


def test_brat_discontinuous_spans_are_unknown(tmp_path: Path) -> None:
    """A span in two parts teaches nothing, and forbids nothing, between its ends."""
    written(tmp_path, "x.txt", TEXT)
    written(tmp_path, "x.ann", "T1\tmedication 0 4;5 12\tTook aspirin\n")
    (document,) = read_brat(tmp_path, OWN)
    assert document.spans == ()
    assert document.unknown == ((0, 12),)


def test_strange_labels_are_unknown_not_absent(tmp_path: Path) -> None:
    """A label that the map does not list is no proof that nothing of ours stands there."""
    path = written(tmp_path, "x.txt", "1|t|On gout.\n1|a|Text.\n1\t3\t7\tgout\tWeird\tD1\n")
    (document,) = read_pubtator(path, OWN)
    assert document.unknown == ((3, 7),)


def test_every_format_has_a_reader_and_every_map_known_types(tmp_path: Path) -> None:
    """A recipe's formats are those that can be read; a map with a type that the product lacks is refused."""
    assert set(BAD) | {"brat"} == set(FORMATS)
    with pytest.raises(DataError, match="type"):
        load_label_maps(written(tmp_path, "l.toml", '[x]\nDrug = ["drug"]\n'))
    with pytest.raises(DataError, match="corpus"):
        read_annotated("iob", written(tmp_path, "x.tsv", "a\tO\n"), corpus="nowhere")


WORDS = st.lists(
    st.sampled_from(["aspirin", "fever", "x-ray", "10", "mg.", "Hämatom", "BP", "thrombocytopenia", "(left)"]),
    min_size=1,
    max_size=30,
)


@settings(deadline=None, max_examples=60)
@given(WORDS, st.data())
def test_word_spans_come_back_exactly(words: list[str], data: st.DataObject) -> None:
    """Document -> word pieces -> perfect answers -> spans is the identity for spans on words of letters."""
    text = " ".join(words)
    spans, at = [], 0
    for word in words:
        if word.isalpha() and data.draw(st.booleans()):
            spans.append(GoldSpan(at, at + len(word), (data.draw(st.sampled_from(ENTITY_TYPES)),)))
        at += len(word) + 1
    document = Document("d", text, tuple(spans), frozenset(ENTITY_TYPES))
    pieces = WordPieces(shelf_bundle("wardstream-entities") / "tokenizer.json")
    example = align(document, pieces, ENTITY_TYPES)
    found = spans_of(text, pieces(text), example.weight, ENTITY_TYPES, np.full(len(ENTITY_TYPES), 0.5, np.float32))
    assert [(s.start, s.end, (s.label,)) for s in found] == [(s.start, s.end, s.types) for s in spans]
    assert alignment_report([document], pieces).exact == len(spans)


def test_alignment_report_says_what_pieces_cannot_express() -> None:
    """A span that ends inside a piece is cut, one of white space alone is lost; both are named by place."""
    pieces = WordPieces(shelf_bundle("wardstream-entities") / "tokenizer.json")
    document = Document(
        "d",
        "the patient  slept",
        (GoldSpan(0, 2, ("finding",)), GoldSpan(4, 11, ("finding",)), GoldSpan(11, 12, ("value",))),
        frozenset(),
    )
    report = alignment_report([document], pieces)
    assert (report.spans, report.exact, report.cut, report.lost) == (3, 1, 1, 1)
    assert report.places == (("d", 0, 2), ("d", 11, 12))


def test_near_duplicates_leave_training() -> None:
    """A training text that repeats a development text, a little changed, goes; another stays. Development never loses one."""
    sentence = " ".join(f"word{k}" for k in range(60))
    development = [Document("dev", sentence, (), frozenset())]
    copy = Document("copy", sentence + " and a few more words at the end", (), frozenset())
    other = Document("other", " ".join(f"else{k}" for k in range(60)), (), frozenset())
    kept, found = without_duplicates([copy, other], development)
    assert [d.id for d in kept] == ["other"]
    assert [(o.document, o.other) for o in found] == [("copy", "dev")]
    assert overlaps([other], development) == []


@given(st.text())
def test_a_split_by_id_is_stable(name: str) -> None:
    """The same id falls on the same side always; surrogates cannot stand in an id."""
    if name.isprintable():
        assert for_development(name) == for_development(name)
