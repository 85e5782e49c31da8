"""PubTator files: ``id|t|title``, ``id|a|abstract``, then tab-separated mentions."""

from __future__ import annotations

from pathlib import Path

from training.data.annotations import Raw, Translator
from training.data.document import Document
from training.data.errors import DataError
from training.data.labels import LABEL_MAPS, LabelMap


def read_pubtator(path: Path, labels: LabelMap, *, name: str = "pubtator") -> list[Document]:
    """One document an abstract: title, one space, abstract; offsets as the file gives them. Lines of relations are passed over.

    Raises:
        DataError: ``offset``: a mention that is no pair of numbers, or leaves its abstract.
    """
    texts: dict[str, list[str]] = {}
    spans: dict[str, list[Raw]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        head = line.split("|", 2)
        if len(head) == 3 and head[1] in ("t", "a") and head[0].isdigit():
            texts.setdefault(head[0], []).append(head[2])
            continue
        cells = line.split("\t")
        if len(cells) < 5:
            continue
        if not (cells[1].isdigit() and cells[2].isdigit()):
            raise DataError("offset", path, number)
        spans.setdefault(cells[0], []).append(Raw(int(cells[1]), int(cells[2]), cells[4]))
    translator = Translator(labels)
    return [translator.document(f"{name}-{key}", " ".join(parts), spans.get(key, []), path) for key, parts in texts.items()]


def read_ncbi(path: Path) -> list[Document]:
    """The NCBI disease corpus."""
    return read_pubtator(path, LABEL_MAPS["ncbi"], name="ncbi")
