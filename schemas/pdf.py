"""Text of a PDF, in a process of its own under limits of time and memory.

A PDF is a program for a reader: a few kilobytes can expand to gigabytes or send a parser round in circles. No check beforehand finds
all of that, so the operating system holds the limits (``setrlimit``) and a bad document costs one child process.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from schemas.errors import MalformedMessage, Reason

#: Reports of a few pages are under a megabyte; scans are larger and hold no text anyway.
MAX_PDF_BYTES = 8 * 1024 * 1024
MAX_PAGES = 200
MAX_TEXT = 2_000_000
#: Processor seconds and address space of the child; the wall clock allows for a busy machine.
CPU_S, WALL_S, MEMORY_BYTES = 2, 10, 512 * 1024 * 1024

_CHILD = Path(__file__).with_name("pdf_child.py")
#: Exit codes of the child.
_REASONS = {
    3: (Reason.UNSUPPORTED_CONTENT_TYPE, "PDF is encrypted"),
    4: (Reason.UNSUPPORTED_CONTENT_TYPE, "PDF holds no text"),
    5: (Reason.TOO_LARGE, "PDF has too many pages or too much text"),
    6: (Reason.UNSUPPORTED_CONTENT_TYPE, "no PDF reader is installed"),
}


def pdf_to_text(data: bytes) -> str:
    """Pages in order, a line feed between; the text of a page as its content stream orders it.

    Raises:
        MalformedMessage: ``TOO_LARGE`` (bytes, pages, text), ``UNSUPPORTED_CONTENT_TYPE`` (encrypted, or no text: a scan),
            ``MALFORMED_FHIR`` (not a PDF, or reading it took more time or memory than is allowed).
    """
    if len(data) > MAX_PDF_BYTES:
        raise MalformedMessage(Reason.TOO_LARGE)
    if b"%PDF-" not in data[:1024]:
        raise MalformedMessage(Reason.MALFORMED_FHIR, detail="not a PDF")
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(_CHILD), *map(str, (CPU_S, MEMORY_BYTES, MAX_PAGES, MAX_TEXT))],
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=WALL_S,
            check=False,
        )
    except (subprocess.TimeoutExpired, OSError):
        raise MalformedMessage(Reason.MALFORMED_FHIR, detail="PDF cannot be read") from None
    if done.returncode:
        reason, detail = _REASONS.get(done.returncode, (Reason.MALFORMED_FHIR, "PDF cannot be read"))
        raise MalformedMessage(reason, detail=detail)
    return done.stdout.decode("utf-8")
