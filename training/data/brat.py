"""BRAT standoff files: MACCROBAT 2020 case reports (Caufield et al.)."""

from __future__ import annotations

from pathlib import Path

from training.data.document import Document, GoldSpan, flatten
from training.data.labels import ENTITY_TYPES, MACCROBAT, MACCROBAT_UNKNOWN


def read_document(text_path: Path) -> Document:
    """One case report. Spans whose offsets do not give the annotated words (44 of 25,189 in the set) become unknown."""
    text = text_path.read_text(encoding="utf-8")
    spans: list[GoldSpan] = []
    unknown: list[tuple[int, int]] = []
    for line in text_path.with_suffix(".ann").read_text(encoding="utf-8").splitlines():
        if not line.startswith("T"):
            continue
        _, place, words = line.split("\t", 2)
        label, offsets = place.split(" ", 1)
        start, end = int(offsets.split()[0]), int(offsets.split()[-1])
        types = MACCROBAT.get(label)
        if label in MACCROBAT_UNKNOWN or ";" in offsets or (types and text[start:end] != words):
            unknown.append((start, end))
        elif types:
            spans.append(GoldSpan(start, end, types))
    return Document(f"maccrobat-{text_path.stem}", text, flatten(spans), frozenset(ENTITY_TYPES) - {"form"}, tuple(unknown))


def read_maccrobat(folder: Path) -> list[Document]:
    """All case reports of a folder, in file-name order."""
    return [read_document(path) for path in sorted(folder.glob("*.txt")) if path.with_suffix(".ann").exists()]
