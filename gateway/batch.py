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
from schemas.hl7.batch import split_messages

_BATCH_HEADER = re.compile(rb"(?<![^\r\n])BHS(?=[^A-Za-z0-9])")


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
    messages = split_messages(payload)
    body = trim(payload)
    file = read_header(body, (b"FHS",))
    mark = _BATCH_HEADER.search(body)
    batch = read_header(body[mark.start() :], (b"BHS",)) if mark else None
    if file is None and batch is None:
        raise MalformedMessage(Reason.MALFORMED_HL7, path=body[:3].decode("ascii", "replace"))
    return Batch(file, batch, messages)


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
