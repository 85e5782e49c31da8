"""BRAT standoff files: ``<name>.txt`` with ``<name>.ann``; MACCROBAT 2020 case reports (Caufield et al.) among them."""

from __future__ import annotations

from pathlib import Path

from training.data.annotations import Raw, Translator
from training.data.document import Document
from training.data.errors import DataError
from training.data.labels import ENTITY_TYPES, LABEL_MAPS, LabelMap


def read_brat_document(text_path: Path, labels: LabelMap, *, name: str = "brat") -> Document:
    """One text. Discontinuous spans, and those whose offsets do not give the annotated words, become unknown.

    Raises:
        DataError: ``annotation``: a text-bound line without label and offsets; ``offset``: it leaves its text.
    """
    text = text_path.read_text(encoding="utf-8")
    path = text_path.with_suffix(".ann")
    translator = Translator(labels)
    doubtful: set[tuple[int, int]] = set()
    raw: list[Raw] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.startswith("T"):
            continue
        try:
            _, place, words = line.split("\t", 2)
            label, offsets = place.split(" ", 1)
            start, end = int(offsets.split()[0]), int(offsets.split()[-1])
        except ValueError:
            raise DataError("annotation", path, number) from None
        if ";" in offsets or (labels.get(label) and text[start:end] != words):
            doubtful.add((start, end))
        else:
            raw.append(Raw(start, end, label))
    made = translator.document(f"{name}-{text_path.stem}", text, raw, path)
    return Document(made.id, text, made.spans, made.annotated, tuple(sorted({*made.unknown, *doubtful})))


def read_brat(folder: Path, labels: LabelMap, *, name: str = "brat") -> list[Document]:
    """All texts of a folder that have annotations, in file-name order."""
    return [read_brat_document(p, labels, name=name) for p in sorted(folder.glob("*.txt")) if p.with_suffix(".ann").exists()]


def read_document(text_path: Path) -> Document:
    """One MACCROBAT case report. It marks every type of ours but the form of a medication."""
    made = read_brat_document(text_path, LABEL_MAPS["maccrobat"], name="maccrobat")
    return Document(made.id, made.text, made.spans, frozenset(ENTITY_TYPES) - {"form"}, made.unknown)


def read_maccrobat(folder: Path) -> list[Document]:
    """All case reports of a folder, in file-name order."""
    return [read_document(path) for path in sorted(folder.glob("*.txt")) if path.with_suffix(".ann").exists()]
