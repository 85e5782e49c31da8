"""HL7 v2 acknowledgements: which code answers which outcome, whether the sender wants to hear it, and the bytes of the answer.

Sources: HL7 v2.5.1 chapter 2.9 (processing rules), tables 0008 (acknowledgement code), 0155 (accept conditions), 0357 (error
condition). AA and CA mean *stored durably, need not be sent again*; nothing here is called before Kafka's delivery report.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from gateway.header import Header
from schemas.errors import Reason


class Class(Enum):
    """Last letter of MSA-1: accepted, error (the sender may retry), rejected (the same bytes will never be accepted)."""

    ACCEPT = b"A"
    ERROR = b"E"
    REJECT = b"R"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message: ``reason`` ``None`` is stored. ``path`` is structure only (``MSH-12``)."""

    reason: Reason | None = None
    path: str = ""
    duplicate: bool = False


STORED = Outcome()
DUPLICATE = Outcome(duplicate=True)
UNAVAILABLE = Outcome(Reason.BROKER_UNAVAILABLE)

#: Reason -> class and table 0357 code.
_ANSWERS: dict[Reason, tuple[Class, int]] = {
    Reason.MALFORMED_HL7: (Class.REJECT, 100),
    Reason.UNDECODABLE_CHARSET: (Class.REJECT, 102),
    Reason.TOO_LARGE: (Class.REJECT, 104),
    Reason.UNSUPPORTED_MESSAGE_TYPE: (Class.REJECT, 200),
    Reason.UNSUPPORTED_PROCESSING_ID: (Class.REJECT, 202),
    Reason.UNSUPPORTED_VERSION: (Class.REJECT, 203),
    Reason.MISSING_CONTROL_ID: (Class.ERROR, 101),
    Reason.MISSING_PATIENT: (Class.ERROR, 101),
    Reason.DUPLICATE_CONTROL_ID: (Class.ERROR, 205),
    Reason.BATCH_COUNT_MISMATCH: (Class.ERROR, 100),
}
#: Where a message type is known and its event is not, table 0357 has a code of its own.
EVENT_PATH = "MSH-9.2"

_TEXTS: dict[int, bytes] = {
    0: b"Message accepted",
    100: b"Segment sequence error",
    101: b"Required field missing",
    102: b"Data type error",
    104: b"Value too long",
    200: b"Unsupported message type",
    201: b"Unsupported event code",
    202: b"Unsupported processing id",
    203: b"Unsupported version id",
    205: b"Duplicate key identifier",
    207: b"Application internal error",
}

_DEFAULT_ENCODING = b"^~\\&"
_DEFAULT_VERSION = b"2.5.1"
_VERSION = re.compile(rb"2(\.\d){0,2}")
_EVENT = re.compile(rb"[A-Z][0-9A-Z]{2}")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_PATH = re.compile(r"([A-Z][A-Z0-9]{2})(?:\[(\d+)\])?(?:-(\d+)(?:\.(\d+))?)?")


def classify(outcome: Outcome) -> tuple[Class, int]:
    """Class and table 0357 code; whatever is not the message's own fault is an error that may be retried."""
    if outcome.reason is None:
        return Class.ACCEPT, 0
    if outcome.reason is Reason.UNSUPPORTED_MESSAGE_TYPE and outcome.path == EVENT_PATH:
        return Class.REJECT, 201
    return _ANSWERS.get(outcome.reason, (Class.ERROR, 207))


def enhanced(header: Header) -> bool:
    """Enhanced mode: MSH-15 or MSH-16 is valued. The answer is then an accept acknowledgement (CA, CE, CR)."""
    return bool(header.get(15).strip() or header.get(16).strip())


def wanted(header: Header, kind: Class) -> bool:
    """Whether the sender wants to hear it (table 0155 in MSH-15).

    In original mode always. In enhanced mode an MSH-15 that is empty or not of the table counts as AL: a sender that waits in
    vain would send for ever.
    """
    condition = header.get(15).strip().upper()
    if condition == b"NE":
        return False
    if condition == b"ER":
        return kind is not Class.ACCEPT
    if condition == b"SU":
        return kind is Class.ACCEPT
    return True


def acknowledge(header: Header | None, outcome: Outcome, *, now: datetime, control_id: bytes) -> bytes | None:
    """The acknowledgement message, or ``None`` where the sender asked for none.

    Args:
        header: MSH of the message, ``None`` when it could not be read (original mode is assumed, MSA-2 stays empty).
        outcome: what became of the message.
        now: MSH-7 of the answer.
        control_id: MSH-10 of the answer.
    """
    kind, code = classify(outcome)
    if header is not None and not wanted(header, kind):
        return None
    mode = b"C" if header is not None and enhanced(header) else b"A"
    separator = header.separator if header else b"|"
    version = version_of(header)
    segments = [
        _msh(header, version, now, control_id),
        separator.join((b"MSA", mode + kind.value, _clean(header.control_id) if header else b"")),
    ]
    if kind is not Class.ACCEPT:
        segments.append(_err(separator, encoding_of(header), version, code, outcome))
    return b"\r".join(segments) + b"\r"


def encoding_of(header: Header | None) -> bytes:
    """MSH-2 to write: the sender's where it is usable."""
    encoding = header.encoding if header else b""
    usable = (
        len(encoding) >= 4 and len(set(encoding)) == len(encoding) and header is not None and header.separator not in encoding
    )
    return encoding if usable and all(33 <= c < 127 and not chr(c).isalnum() for c in encoding) else _DEFAULT_ENCODING


def version_of(header: Header | None) -> bytes:
    version = header.component(12, 1).strip() if header else b""
    return version if _VERSION.fullmatch(version) else _DEFAULT_VERSION


def timestamp(now: datetime) -> bytes:
    return now.strftime("%Y%m%d%H%M%S%z").encode()


def _msh(header: Header | None, version: bytes, now: datetime, control_id: bytes) -> bytes:
    separator, encoding = (header.separator if header else b"|"), encoding_of(header)
    fields = [b""] * 4
    event, processing = b"", b"P"
    if header is not None:
        fields = [_clean(header.get(n)) for n in (5, 6, 3, 4)]
        event = header.component(9, 2).strip()
        processing = header.component(11, 1).strip()
    kind = [b"ACK"]
    if _EVENT.fullmatch(event):
        kind.append(event)
        if version >= b"2.3.1":
            kind.append(b"ACK")
    if processing not in (b"P", b"T", b"D"):
        processing = b"P"
    return separator.join(
        (b"MSH", encoding, *fields, timestamp(now), b"", encoding[:1].join(kind), control_id, processing, version)
    )


def _err(separator: bytes, encoding: bytes, version: bytes, code: int, outcome: Outcome) -> bytes:
    """ERR as its version knows it: from v2.5 location, code, severity; before that ERR-1 (segment, sequence, field, code)."""
    component, sub = encoding[:1], encoding[3:4]
    found = _PATH.fullmatch(outcome.path)
    location = [b"", b"", b""]
    if found:
        location = [found[1].encode(), (found[2] or "1").encode(), (found[3] or "").encode()]
    coded = (str(code).encode(), _TEXTS[code], b"HL70357")
    if version < b"2.5":
        return separator.join((b"ERR", component.join((*location, sub.join(coded)))))
    where = component.join(location).rstrip(component)
    return separator.join((b"ERR", b"", where, component.join(coded), b"E", component.join((_reason(outcome), b"", b"L"))))


def _reason(outcome: Outcome) -> bytes:
    return outcome.reason.value.encode() if outcome.reason else b""


def _clean(value: bytes) -> bytes:
    """An echoed field without control bytes, which could end the segment or the frame."""
    return _CONTROL.sub(b"", value)
