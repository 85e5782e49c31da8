"""Generated documents as a table that a person can read."""

from __future__ import annotations

from collections.abc import Sequence

from training.data.document import Document


def marked(document: Document) -> str:
    """The text with its gold spans in brackets: ``Seen by Dr. [NAME Bell] on [DATE 3/4]``."""
    pieces: list[str] = []
    at = 0
    for span in document.spans:
        pieces += (document.text[at : span.start], f"[{span.types[0]} {document.text[span.start : span.end]}]")
        at = span.end
    pieces.append(document.text[at:])
    return "".join(pieces)


def table(documents: Sequence[Document]) -> str:
    """One block a document: its id, its length, how many spans, its marked text."""
    blocks = []
    for document in documents:
        head = f"{document.id}  {len(document.text)} characters, {len(document.spans)} spans"
        blocks.append(f"--- {head}\n{marked(document)}")
    return "\n".join(blocks)
