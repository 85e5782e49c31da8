"""IOB and CoNLL files: a token a line, its label in the last column, a blank line between sentences.

BIO, IO and BIOES (or BILOU) labels are told apart by their prefixes; ``-DOCSTART-`` lines begin documents. BC5CDR as distributed by
MTL-Bioinformatics-2016 has sentences alone, in document order.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from training.data.annotations import Raw, Translator
from training.data.document import Document
from training.data.errors import DataError
from training.data.labels import LABEL_MAPS, LabelMap

_BEGINS, _ALONE = "B", "SU"
_PREFIXES = "BIESLU"
Sentence = list[tuple[str, str]]


def sentences(path: Path) -> Iterator[Sentence]:
    """Sentences as lists of (token, label); an empty one where a ``-DOCSTART-`` line stands.

    Raises:
        DataError: ``columns``: a line of fewer than two.
    """
    rows: Sentence = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        cells = line.split("\t") if "\t" in line else line.split()
        if line.startswith("-DOCSTART-") or not line.strip():
            if rows:
                yield rows
                rows = []
            if line.startswith("-DOCSTART-"):
                yield []
            continue
        if len(cells) < 2 or not cells[0]:
            raise DataError("columns", path, number)
        rows.append((cells[0], cells[-1].strip()))
    if rows:
        yield rows


def _document(group: list[Sentence], name: str, translator: Translator, path: Path) -> Document:
    """Tokens joined by single spaces. A label of the same kind continues a span unless its prefix begins one."""
    parts: list[str] = []
    spans: list[Raw] = []
    at = 0
    for sentence in group:
        going = ""  # the kind of the span that the last token belongs to
        for token, label in sentence:
            end = at + len(token)
            prefix, _, kind = label.partition("-") if label[:2].rstrip("-") in _PREFIXES and "-" in label else ("I", "", label)
            if label == "O":
                kind = ""
            elif kind == going and prefix not in _BEGINS + _ALONE:
                spans[-1] = Raw(spans[-1].start, end, kind)
            else:
                spans.append(Raw(at, end, kind))
            going = "" if prefix in "SUEL" else kind
            parts.append(token)
            at = end + 1
    return translator.document(name, " ".join(parts), spans, path)


def read_iob(path: Path, labels: LabelMap, *, joined: int = 1) -> list[Document]:
    """Documents between ``-DOCSTART-`` lines, or of ``joined`` neighbouring sentences where there are none.

    Raises:
        DataError: ``columns``: a line of fewer than two.
    """
    translator = Translator(labels)
    groups: list[list[Sentence]] = []
    source = list(sentences(path))
    if [] in source:
        for sentence in source:
            if not sentence:
                groups.append([])
            elif groups:
                groups[-1].append(sentence)
            else:
                groups.append([sentence])
    else:
        rest = iter(source)
        while group := list(islice(rest, joined)):
            groups.append(group)
    return [_document(group, f"{path.stem}-{k}", translator, path) for k, group in enumerate(g for g in groups if g)]


def read_bc5cdr(path: Path, *, joined: int = 1) -> list[Document]:
    """BC5CDR passages of ``joined`` neighbouring sentences each."""
    return read_iob(path, LABEL_MAPS["bc5cdr"], joined=joined)
