"""The public HL7 and FHIR data as single messages, whatever container they came in. The folder is ``WARDSTREAM_DATA``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from schemas.envelope import FHIR_JSON, HL7_V2

DEFAULT_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
_MESSAGE = re.compile(rb"(?:^|(?<=[\r\n\x0b\x00]))(?:\xef\xbb\xbf)?MSH(?=[^A-Za-z0-9\s])", re.MULTILINE)
_BATCH = re.compile(rb"^(?:\xef\xbb\xbf)?[FB]HS[^A-Za-z0-9\s]")
_LINE_END = re.compile(rb"\r\n|\n")
_NO_MESSAGES = {"LICENSE", "LICENSE.TXT", "README.MD", "NOTICE"}


@dataclass(frozen=True, slots=True)
class PublicMessage:
    """``name`` is folder/file#ordinal."""

    name: str
    content_type: str
    payload: bytes


def data_folder() -> Path:
    return Path(os.environ.get("WARDSTREAM_DATA", DEFAULT_DATA))


def hl7_messages(root: Path) -> Iterator[PublicMessage]:
    """Every HL7 v2 message of ``hl7_*``; FHS/BHS files stay whole, they are one frame on the wire."""
    for path in sorted(p for folder in root.glob("hl7_*") for p in folder.rglob("*") if p.is_file()):
        if path.name.upper() in _NO_MESSAGES or path.suffix in {".json", ".fhir", ".yml", ".yaml", ".csv", ".xml"}:
            continue
        raw = path.read_bytes()
        name = str(path.relative_to(root))
        if _BATCH.match(raw):
            yield PublicMessage(name, HL7_V2, _LINE_END.sub(b"\r", raw))
            continue
        starts = [match.start() for match in _MESSAGE.finditer(raw)]
        for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(raw)], strict=True) if starts else (), 1):
            message = _LINE_END.sub(b"\r", raw[start:end]).strip(b"\r\x0b\x1c\x00 ")
            yield PublicMessage(f"{name}#{number}", HL7_V2, message + b"\r")


def fhir_resources(root: Path) -> Iterator[PublicMessage]:
    """Every FHIR resource file of ``fhir_*``; NDJSON files line by line."""
    for path in sorted(p for folder in root.glob("fhir_*") for p in folder.rglob("*") if p.is_file()):
        name = str(path.relative_to(root))
        if path.suffix == ".json":
            yield PublicMessage(name, FHIR_JSON, path.read_bytes())
        elif path.suffix == ".ndjson":
            for number, line in enumerate(path.read_bytes().splitlines(), 1):
                if line.strip():
                    yield PublicMessage(f"{name}#{number}", FHIR_JSON, line)
