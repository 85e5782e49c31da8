"""Scanned documents: read as text like any other attachment, and on the site's wish shown again with nothing on the page but words that stay."""

from __future__ import annotations

from collections.abc import Mapping

from agents.deidentify.notes import Scrubbed
from schemas.errors import MalformedMessage
from schemas.message import Parsed, add_picture
from schemas.scan import Scan, paint_scan, read_scan


def add_pictures(parsed: Parsed, scans: Mapping[str, Scan], scrubbed: Scrubbed) -> list[str]:
    """Beside the clean text of each scan its painted pages, where the message has room for them.

    Returns:
        What the painted pages say when they are read again, for the leak gate.
    """
    seen: list[str] = []
    for path, scan in scans.items():
        taken_out = [(redaction.start, redaction.end) for redaction in scrubbed.leaves.get(path, ())]
        picture, media_type = paint_scan(scan, taken_out)
        try:
            again = read_scan(picture, media_type)
        except MalformedMessage:  # nothing that anybody could read is left: nothing to show either
            continue
        added = add_picture(parsed, path, picture, media_type)
        if added is not None and again is not None:
            scrubbed.handled.add(added)
            seen.append(again.text)
    return seen
