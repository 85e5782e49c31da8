"""IOB files of two columns (token, label), a blank line between sentences: BC5CDR as distributed by MTL-Bioinformatics-2016."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from training.data.document import Document, GoldSpan
from training.data.labels import BC5CDR


def sentences(path: Path) -> Iterator[list[tuple[str, str]]]:
    """Sentences as lists of (token, label)."""
    rows: list[tuple[str, str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            token, _, label = line.rpartition("\t")
            rows.append((token, label.strip()))
        elif rows:
            yield rows
            rows = []
    if rows:
        yield rows


def read_bc5cdr(path: Path, *, joined: int = 1) -> list[Document]:
    """Documents of ``joined`` neighbouring sentences each, tokens joined by single spaces."""
    types = frozenset(name for names in BC5CDR.values() for name in names)
    found: list[Document] = []
    source = sentences(path)
    while group := list(islice(source, joined)):
        parts: list[str] = []
        spans: list[GoldSpan] = []
        at = 0
        for token, label in (pair for sentence in group for pair in sentence):
            end = at + len(token)
            if label.startswith("I-") and spans and spans[-1].end == at - 1:
                spans[-1] = GoldSpan(spans[-1].start, end, spans[-1].types)
            elif label != "O":
                spans.append(GoldSpan(at, end, BC5CDR[label[2:]]))
            parts.append(token)
            at = end + 1
        found.append(Document(f"{path.stem}-{len(found)}", " ".join(parts), tuple(spans), types))
    return found
