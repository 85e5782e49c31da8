"""Exports of annotation tools: Label Studio, doccano, and our own reviewed labels (``train.label.reviewed.v1``)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from schemas.labels import ReviewedLabel
from training.data.annotations import Raw, Translator
from training.data.document import Document
from training.data.errors import DataError
from training.data.labels import LABEL_MAPS, LabelMap
from training.data.offsets import Utf16


def rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Objects of a JSON list or of JSON Lines, with their line (0 in a list)."""
    text = path.read_text(encoding="utf-8")
    if text.lstrip().startswith("["):
        try:
            found = [(0, row) for row in json.loads(text)]
        except json.JSONDecodeError as error:
            raise DataError("json", path, error.lineno) from None
    else:
        found = []
        for number, line in enumerate(
            text.split("\n"), 1
        ):  # a note may hold other ends of lines (U+2028), which JSON leaves as they are
            if line.strip():
                try:
                    found.append((number, json.loads(line)))
                except json.JSONDecodeError:
                    raise DataError("json", path, number) from None
    for number, row in found:
        if not isinstance(row, dict):
            raise DataError("record", path, number)
        yield number, row


def read_label_studio(path: Path, labels: LabelMap = LABEL_MAPS["own"]) -> list[Document]:
    """A Label Studio export (JSON list or lines) of a project with one text and span labels. Cancelled and missing annotations are left
    out; of several annotations of one task the last is taken.

    Raises:
        DataError: ``json``, ``record``, ``offset``.
    """
    translator = Translator(labels)
    found: list[Document] = []
    for number, row in rows(path):
        data, annotations = row.get("data"), [a for a in row.get("annotations", ()) if not a.get("was_cancelled")]
        text = data.get("text") if isinstance(data, dict) else None
        if not isinstance(text, str):
            raise DataError("record", path, number)
        if not annotations:
            continue
        try:
            raw = [
                Raw(int(value["start"]), int(value["end"]), str(label))
                for value in (result["value"] for result in annotations[-1]["result"] if result.get("type") == "labels")
                for label in value["labels"]
            ]
        except (KeyError, TypeError, ValueError):
            raise DataError("record", path, number) from None
        found.append(translator.document(f"{path.stem}-{row.get('id', len(found))}", text, raw, path, number))
    return found


def read_doccano(path: Path, labels: LabelMap = LABEL_MAPS["own"]) -> list[Document]:
    """A doccano export in JSON Lines: ``label``/``labels`` as ``[start, end, label]``, or ``entities`` as objects with offsets. They count UTF-16
    code units (https://github.com/doccano/doccano/issues/2290).

    Raises:
        DataError: ``json``, ``record``, ``offset``.
    """
    translator = Translator(labels)
    found: list[Document] = []
    for number, row in rows(path):
        text = row.get("text", row.get("data"))
        spans = row.get("label", row.get("labels", row.get("entities")))
        if not isinstance(text, str) or not isinstance(spans, list):
            raise DataError("record", path, number)
        try:
            places = [
                (int(s["start_offset"]), int(s["end_offset"]), str(s["label"]))
                if isinstance(s, dict)
                else (int(s[0]), int(s[1]), str(s[2]))
                for s in spans
            ]
        except (KeyError, IndexError, TypeError, ValueError):
            raise DataError("record", path, number) from None
        points = Utf16(text).points
        try:
            raw = [Raw(points(start), points(end), label) for start, end, label in places]
        except ValueError:
            raise DataError("offset", path, number) from None
        found.append(translator.document(f"{path.stem}-{row.get('id', len(found))}", text, raw, path, number))
    return found


def reviewed_labels(path: Path) -> Iterator[tuple[int, ReviewedLabel]]:
    """Reviewed labels of JSON Lines, each with its line. Raises DataError: ``record``."""
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            try:
                yield number, msgspec.json.decode(line, type=ReviewedLabel)
            except (msgspec.ValidationError, msgspec.DecodeError):
                raise DataError("record", path, number) from None


def read_reviewed(path: Path) -> list[Document]:
    """Our own reviewed labels, one JSON record a line. Each says which types it annotates completely.

    Raises:
        DataError: ``record``: not such a record; ``offset``.
    """
    return [reviewed_document(label, path, number) for number, label in reviewed_labels(path)]


def reviewed_document(label: ReviewedLabel, path: Path, line: int = 0) -> Document:
    """The document of one verdict; ``path`` and ``line``: where it came from, for the error.

    Raises:
        DataError: ``offset``.
    """
    raw = [Raw(s.start, s.end, s.type) for s in label.spans]
    made = Translator(LABEL_MAPS["own"]).document(f"reviewed-{label.id}", label.note.text, raw, path, line)
    return Document(made.id, made.text, made.spans, frozenset(label.annotated))
