"""MeQSum: questions of real people to the National Library of Medicine, as they were sent (Ben Abacha and Demner-Fushman 2019)."""

from __future__ import annotations

import zipfile
from pathlib import Path
from xml.etree import ElementTree

_SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def consumer_questions(data: Path) -> list[str]:
    """The questions that are not empty, in the file's order; the second column of the sheet."""
    (path,) = sorted((data / "qa_meqsum").glob("*.xlsx"))
    with zipfile.ZipFile(path) as book:
        # a trusted local file of the corpus
        strings, sheet = (ElementTree.fromstring(book.read(f"xl/{name}.xml")) for name in ("sharedStrings", "worksheets/sheet1"))  # noqa: S314
    shared = ["".join(part.itertext()) for part in strings.iter(f"{_SHEET}si")]
    cells = [list(row.iter(f"{_SHEET}c")) for row in sheet.iter(f"{_SHEET}row")]
    texts = [shared[int(row[1].findtext(f"{_SHEET}v") or 0)] for row in cells[1:] if len(row) > 1]
    return [text for text in texts if text.strip()]
