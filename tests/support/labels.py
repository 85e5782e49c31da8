"""Samples and reviewed labels written by hand."""

from __future__ import annotations

import hashlib
from typing import Any

from schemas.findings import FindingsNote, Versions
from schemas.labels import ReviewedLabel, ReviewedSpan
from schemas.samples import Sample
from training.label_store.rows import Row


def text_note(text: str) -> FindingsNote:
    return FindingsNote(path="OBX[1]-5", text=text, sha256=hashlib.sha256(text.encode()).hexdigest())


def sample(name: str, subject: str = "W1", at: int = 1, **fields: Any) -> Row:
    """Of a message that came on 2 March 2026."""
    given = {"reason": "uncertain", "score": 0.4, "note": text_note(f"Text of {name}.")} | fields
    record = Sample(id=name, origin=f"o-{name}", subject=subject, versions=Versions(entity_model="m", policy="p"), **given)
    return Row("sample", "2026-03-02", at, record)


def label(name: str, of: str, subject: str = "W1", at: int = 1, **fields: Any) -> Row:
    """Its note's first four characters are a problem."""
    given = {
        "reviewer": "r1", "guideline": "1", "decided": "2026-03-03T10:00:00Z", "annotated": ("problem",), "note": text_note(f"Text of {of}."),
        "spans": (ReviewedSpan(start=0, end=4, type="problem"),),
    } | fields  # fmt: skip
    return Row("label", given["decided"][:10], at, ReviewedLabel(id=name, sample=of, subject=subject, **given))
