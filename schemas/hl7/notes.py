r"""The readable texts of a message, each part with the leaf that it came from.

Joined into one note: consecutive text OBX of one report (same OBX-3, or any OBX of a document with TXA), and consecutive NTE.
Escapes are undone, ``\.br\`` is a line end, repetitions and empty lines of a report are lines. Short results (``Positive``) are
facts, not notes.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from schemas.attachments import Opened, open_attachment
from schemas.clinical import Coding, Note, NotePart
from schemas.errors import MalformedMessage, Poison, Reason, UnsupportedContent
from schemas.hl7.codes import field_codings
from schemas.hl7.er7 import Message, Segment
from schemas.hl7.values import is_prose, read_number, words
from schemas.scan import OpenScan, Scan

#: OBX-2 of running text, and of values that may hold a phrase.
TEXT_TYPES = frozenset({"TX", "FT"})
PHRASE_TYPES = frozenset({"ST", "", "CE", "CWE", "CNE", "CF"})

#: Text fields outside OBX and NTE: (segment, field) -> fewest words that make it a note.
_TEXT_FIELDS = {
    "OBR": {13: 1, 31: 1},
    "PV2": {3: 1},
    "DG1": {4: 4},
    "RXO": {6: 3, 7: 3},
    "RXE": {7: 3, 21: 3},
    "RXA": {9: 4},
    "PR1": {4: 4},
    "SCH": {7: 4},
    "TXA": {25: 1},
}
_CODED_FIELDS = {("OBR", 13), ("OBR", 31), ("PV2", 3), ("RXO", 6), ("RXO", 7), ("RXE", 7), ("RXE", 21), ("RXA", 9), ("SCH", 7)}

#: ED-2 and ED-3 (tables 0191 and 0291) as a MIME type; what is missing is passed on as type/subtype.
_MIME = {
    "pdf": "application/pdf",
    "plain": "text/plain",
    "text": "text/plain",
    "": "text/plain",
    "html": "text/html",
    "rtf": "text/rtf",
    "xml": "text/xml",
    "x-hl7-cda-level-one": "text/xml",
    "sgml": "text/html",
    "png": "image/png",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "tiff": "image/tiff",
    "tif": "image/tiff",
    "bmp": "image/bmp",
}


@dataclass(slots=True)
class _Draft:
    key: tuple[str, ...]
    codes: tuple[Coding, ...]
    status: str
    lines: list[tuple[str, str]] = field(default_factory=list)

    def note(self) -> Note | None:
        """Lines joined; empty lines without a part; ``None`` when nothing but white space was said."""
        parts: list[NotePart] = []
        pieces: list[str] = []
        position = 0
        for path, text in self.lines:
            if text:
                parts.append(NotePart(path=path, start=position, end=position + len(text)))
            pieces.append(text)
            position += len(text) + 1
        if not any(piece.strip() for piece in pieces):
            return None
        return Note(path=parts[0].path, text="\n".join(pieces), parts=tuple(parts), codes=self.codes, status=self.status)


@dataclass(slots=True)
class Notes:
    """``used`` are (segment path, field) that became text; ``refused`` path -> reason code of attachments that nothing opens; ``scans``
    path -> the pages behind the text."""

    open_scan: OpenScan | None = None
    scans: dict[str, Scan] = field(default_factory=dict)
    found: list[Note] = field(default_factory=list)
    used: set[tuple[str, int]] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    _draft: _Draft | None = None

    def line(self, key: tuple[str, ...], lines: list[tuple[str, str]], codes: tuple[Coding, ...] = (), status: str = "") -> None:
        """Add to the note of this key, or begin one."""
        if self._draft is None or self._draft.key != key:
            self.flush()
            self._draft = _Draft(key, codes, status)
        self._draft.lines.extend(lines)

    def flush(self) -> None:
        if self._draft is not None and (note := self._draft.note()) is not None:
            self.found.append(note)
        self._draft = None


def read_notes(message: Message, open_scan: OpenScan | None = None) -> Notes:
    """All notes in the order of the message; scanned pages only with ``open_scan``."""
    notes = Notes(open_scan)
    document: tuple[Coding, ...] | None = None
    order = 0
    for path, segment in message.walk():
        name = segment.id
        if name == "TXA":
            document = field_codings(segment, 2)
        if name == "OBX":
            _read_observation(path, segment, notes, document, order)
        elif name == "NTE":
            lines = _lines(path, segment, 3)
            if lines:
                notes.used.add((path, 3))
                notes.line(("NTE",), lines, field_codings(segment, 4))
        else:
            notes.flush()
            order += name == "OBR"
            _read_text_fields(path, segment, notes)
    notes.flush()
    return notes


def _read_observation(path: str, segment: Segment, notes: Notes, document: tuple[Coding, ...] | None, order: int) -> None:
    kind = segment.get(2)
    if kind not in TEXT_TYPES:
        notes.flush()
    if kind in TEXT_TYPES:
        lines = _lines(path, segment, 5)
        if len(lines) == 1 and read_number(lines[0][1]) is not None:
            notes.flush()
            return
        key = ("document",) if document is not None else ("OBX", str(order), segment.get(3) or segment.get(3, component=2))
        if lines:
            notes.used.update({(path, 5), (path, 3)})
        notes.line(key, lines or [(f"{path}-5", "")], *_labels(segment, document))
    elif kind in PHRASE_TYPES:
        lines = [line for line in _phrases(path, segment, 5, coded=kind not in ("ST", "")) if is_prose(line[1])]
        if lines:
            notes.used.update({(path, 5), (path, 3)})
            notes.line((path,), lines, *_labels(segment, document))
            notes.flush()
    elif kind == "ED":
        _read_attachments(path, segment, notes, *_labels(segment, document))
    elif kind == "RP" and segment.raw(5):
        notes.refused[f"{path}-5"] = Reason.UNSUPPORTED_CONTENT_TYPE.value


def _labels(segment: Segment, document: tuple[Coding, ...] | None) -> tuple[tuple[Coding, ...], str]:
    """Observation and document type, and the result status."""
    return field_codings(segment, 3) + (document or ()), segment.get(11)


def _read_text_fields(path: str, segment: Segment, notes: Notes) -> None:
    for position, fewest in _TEXT_FIELDS.get(segment.id, {}).items():
        lines = [
            line
            for line in _phrases(path, segment, position, coded=(segment.id, position) in _CODED_FIELDS)
            if words(line[1]) >= fewest
        ]
        if lines:
            notes.used.add((path, position))
            notes.line((path, str(position)), lines)
            notes.flush()


def _lines(path: str, segment: Segment, position: int) -> list[tuple[str, str]]:
    """Every repetition of a text field as a line."""
    return [
        (_repetition_path(path, position, number), _plain(segment.leaf(text)))
        for number, text in enumerate(segment.repetitions(position), start=1)
    ]


def _phrases(path: str, segment: Segment, position: int, *, coded: bool) -> list[tuple[str, str]]:
    """Text of each repetition; of a coded element its original text, else its text, else an identifier that is none."""
    if not coded:
        return _lines(path, segment, position)
    found: list[tuple[str, str]] = []
    for number, text in enumerate(segment.repetitions(position), start=1):
        components = segment.components(text)
        for component in (9, 2, 1):
            if component <= len(components) and components[component - 1]:
                plain = _plain(segment.leaf(segment.subcomponents(components[component - 1])[0]))
                found.append((f"{_repetition_path(path, position, number)}.{component}", plain))
                break
    return found


def _plain(text: str) -> str:
    """Line ends as one character; HL7's null is no text."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "" if text == '""' else text


def _repetition_path(path: str, position: int, number: int) -> str:
    return f"{path}-{position}" if number == 1 else f"{path}-{position}[{number}]"


def _read_attachments(path: str, segment: Segment, notes: Notes, codes: tuple[Coding, ...], status: str) -> None:
    """ED: source, type of data, subtype, encoding (table 0299: A, Hex, Base64), data."""
    for number, text in enumerate(segment.repetitions(5), start=1):
        where = f"{_repetition_path(path, 5, number)}.5"
        leaves = [segment.leaf(component) for component in segment.components(text)]
        leaves += [""] * (5 - len(leaves))
        if not leaves[4]:
            continue
        try:
            plain, format_, scan = _open(_data(leaves[3], leaves[4]), _mime(leaves[1], leaves[2]), notes.open_scan)
        except Poison as error:
            notes.refused[where] = error.reason.value
            continue
        if plain.strip():
            part = NotePart(path=where, start=0, end=len(plain))
            notes.found.append(Note(path=where, text=plain, parts=(part,), format=format_, codes=codes, status=status))
            notes.used.update({(path, 5), (path, 3)})
            if scan is not None:
                notes.scans[where] = scan


def _open(data: bytes, content_type: str, scans: OpenScan | None) -> Opened:
    """Text of an attachment; ED names no character set, so what is not UTF-8 is read as the set of Windows senders."""
    try:
        opened = open_attachment(data, content_type, scans)
    except MalformedMessage as error:
        if error.reason is not Reason.UNDECODABLE_CHARSET:
            raise
        opened = open_attachment(data, f"{content_type}; charset=windows-1252")
    if opened is None:
        raise UnsupportedContent
    return opened._replace(text=_plain(opened.text))


def _mime(kind: str, subtype: str) -> str:
    kind, subtype = kind.strip().lower(), subtype.strip().lower()
    if "/" in subtype:
        return subtype
    if subtype == "" and kind not in ("", "text", "tx", "ft"):
        return _MIME.get(kind, f"{kind}/octet-stream")
    return _MIME.get(subtype, f"{kind or 'application'}/{subtype}")


def _data(encoding: str, text: str) -> bytes:
    """Bytes of ED-5; raises MalformedMessage when they are not what ED-4 says."""
    packed = "".join(text.split())
    try:
        match encoding.strip().lower():
            case "base64":
                return base64.b64decode(packed, validate=True)
            case "hex":
                return bytes.fromhex(packed)
            case "a" | "":
                return text.encode()
    except (ValueError, binascii.Error):
        pass
    raise MalformedMessage(path="OBX-5.4")
