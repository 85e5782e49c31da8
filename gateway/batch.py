"""The HL7 v2 batch and file protocol at the door (v2.5.1, 2.10.3): ``[FHS] {[BHS] {MSH ...} [BTS]} [FTS]``.

A batch is cut into its messages as bytes, each then goes the way of a single message; one batch of acknowledgements answers it
when all of them are durable or refused. Trailer counts that do not hold refuse the whole: it was cut or glued on its way.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.acknowledge import encoding_of, timestamp
from gateway.header import Header, read_header, trim
from schemas.errors import MalformedMessage, Reason

_CONTROL_SEGMENT = re.compile(rb"(?:(?<=[\r\n])|^)(FHS|BHS|MSH|BTS|FTS)(?=[^A-Za-z0-9])")
_COUNT = re.compile(rb"\d{1,9}")


@dataclass(frozen=True, slots=True, repr=False)
class Batch:
    """``file`` and ``batch`` are the first FHS and BHS; ``messages`` the bytes of each message with its own line ends."""

    file: Header | None
    batch: Header | None
    messages: tuple[bytes, ...]


def split(payload: bytes) -> Batch:
    """Cut a payload that begins with FHS or BHS.

    Raises:
        MalformedMessage: ``malformed_hl7`` for segments outside messages or no readable header; ``batch_count_mismatch`` when
            BTS-1 or FTS-1 is not what was found.
    """
    body = trim(payload)
    marks = [(mark[1], mark.start()) for mark in _CONTROL_SEGMENT.finditer(body)]
    ends = [start for _, start in marks[1:]] + [len(body)]
    file: Header | None = None
    first: Header | None = None
    messages: list[bytes] = []
    batches = in_batch = 0
    for (name, start), end in zip(marks, ends, strict=True):
        part = body[start:end]
        if name == b"MSH":
            messages.append(part)
            in_batch += 1
            batches = max(batches, 1)
            continue
        if b"\r" in part.strip() or b"\n" in part.strip():
            raise MalformedMessage(Reason.MALFORMED_HL7, path=name.decode(), detail="a segment outside the messages")
        if name in (b"FHS", b"BHS"):
            header = read_header(part, (name,))
            if header is None:
                raise MalformedMessage(Reason.MALFORMED_HL7, path=name.decode())
            if name == b"FHS":
                file = file or header
                continue
            first = first or header
            batches += 1
            in_batch = 0
        else:
            _check(part, name, in_batch if name == b"BTS" else batches)
    return Batch(file, first, tuple(messages))


def _check(trailer: bytes, name: bytes, found: int) -> None:
    said = trailer.strip()[4:].split(trailer[3:4], 1)[0].strip()
    if said and (not _COUNT.fullmatch(said) or int(said) != found):
        raise MalformedMessage(Reason.BATCH_COUNT_MISMATCH, path=f"{name.decode()}-1")


def acknowledge_batch(batch: Batch, answers: Sequence[bytes], *, now: datetime) -> bytes | None:
    """One batch of acknowledgements in the shape of what it answers; ``None`` when no message wanted one."""
    if batch.messages and not answers:
        return None
    header = batch.batch or batch.file
    separator = header.separator if header else b"|"
    segments: list[bytes] = []
    if batch.file is not None:
        segments.append(_header(b"FHS", batch.file, now))
    segments.append(_header(b"BHS", batch.batch, now, separator))
    text = b"\r".join(segments) + b"\r" + b"".join(answers)
    text += separator.join((b"BTS", str(len(answers)).encode())) + b"\r"
    if batch.file is not None:
        text += separator.join((b"FTS", b"1")) + b"\r"
    return text


def _header(name: bytes, header: Header | None, now: datetime, separator: bytes = b"|") -> bytes:
    """BHS/FHS of the answer: sender and receiver exchanged, field 12 refers to the control id of the batch."""
    fields = [_clean(header.get(n)) for n in (5, 6, 3, 4)] if header else [b""] * 4
    reference = _clean(header.control_id) if header else b""
    own = hashlib.sha256(name + reference + timestamp(now)).hexdigest()[:20].upper().encode()
    mark = header.separator if header else separator
    return mark.join((name, encoding_of(header), *fields, timestamp(now), b"", b"", b"", own, reference))


def _clean(value: bytes) -> bytes:
    return bytes(byte for byte in value if byte >= 32)
