"""doccano (sequence labelling, JSON Lines): text and labelled places, without assertions and flags, which it has no place for.

Its offsets are UTF-16 code units (https://github.com/doccano/doccano/issues/2290); projects must not count grapheme clusters.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ops.review.tools import Annotated
from schemas.findings import MENTION_TYPES
from schemas.labels import ReviewedSpan
from schemas.samples import Sample
from training.data.errors import DataError
from training.data.exports import rows
from training.data.offsets import Utf16


def row(sample: Sample) -> dict[str, Any]:
    """One line with the model's spans; doccano keeps the other fields as the document's metadata."""
    units = Utf16(sample.note.text).units
    return {
        "text": sample.note.text,
        "label": [[units(m.start), units(m.end), m.type] for m in sample.mentions],
        "sample": sample.id,
        "reason": sample.reason,
        "model": sample.versions.entity_model,
    }


def read(path: Path) -> Iterator[Annotated]:
    """Every document of an export, by line. doccano says neither who annotated nor when.

    Raises:
        DataError: ``json``; ``record``; ``type``: a label that is none of ours; ``offset``: a place is not between characters.
    """
    for number, one in rows(path):
        meta = one.get("meta", one.get("metadata"))
        name = one.get("sample", meta.get("sample") if isinstance(meta, dict) else None)
        text, labels = one.get("text", one.get("data")), one.get("label", one.get("labels"))
        if not isinstance(text, str) or not isinstance(name, str) or not isinstance(labels, list):
            raise DataError("record", path, number)
        points = Utf16(text).points
        spans = []
        for label in labels:
            if not isinstance(label, list) or len(label) != 3:
                raise DataError("record", path, number)
            if label[2] not in MENTION_TYPES:
                raise DataError("type", path, number)
            try:
                spans.append(ReviewedSpan(start=points(label[0]), end=points(label[1]), type=label[2]))
            except (TypeError, ValueError):
                raise DataError("offset", path, number) from None
        yield Annotated(name, text, tuple(spans))
