"""Media types as they stand in headers, attachments and records."""

from __future__ import annotations


def split_media_type(content_type: str) -> tuple[str, dict[str, str]]:
    """``Text/Plain; Charset="utf-8"`` -> ``text/plain`` and ``{"charset": "utf-8"}``; names in lower case, values as written."""
    kind, *rest = content_type.split(";")
    pairs = (piece.partition("=") for piece in rest)
    return kind.strip().lower(), {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
