"""A site's own annotated texts, whatever tool made them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from training.data.brat import read_brat
from training.data.document import Document
from training.data.errors import DataError
from training.data.exports import read_doccano, read_label_studio, read_reviewed
from training.data.iob import read_iob
from training.data.labels import LABEL_MAPS, LabelMap, load_label_maps
from training.data.pubtator import read_pubtator

_READERS: Final[dict[str, Callable[[Path, LabelMap], list[Document]]]] = {
    "iob": read_iob,
    "pubtator": read_pubtator,
    "brat": read_brat,
    "label-studio": read_label_studio,
    "doccano": read_doccano,
    "reviewed": lambda path, _: read_reviewed(path),
}
FORMATS: Final = tuple(_READERS)


def read_annotated(kind: str, path: Path, labels: str = "", corpus: str = "own") -> list[Document]:
    """Documents of a file or folder.

    Args:
        kind: one of ``FORMATS``.
        labels: TOML file of label maps; empty for the maps that ship. ``corpus``: which map.

    Raises:
        DataError: the file is not what ``kind`` says, names an unknown type, or has no map of that name (``corpus``).
    """
    maps = load_label_maps(Path(labels)) if labels else LABEL_MAPS
    if corpus not in maps:
        raise DataError("corpus", Path(labels or "labels.toml"))
    return _READERS[kind](path, maps[corpus])
