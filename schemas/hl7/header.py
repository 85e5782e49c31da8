"""The head of a message as bytes, before its character set is known: delimiters and single fields."""

from __future__ import annotations

import re
from functools import lru_cache

from schemas.errors import MalformedMessage
from schemas.hl7.escapes import Delimiters

#: Segments whose field 1 is the field separator itself.
HEADERS = frozenset({"MSH", "FHS", "BHS"})

_LINE_END = re.compile(rb"[\r\n]")


def read_delimiters(body: bytes) -> Delimiters:
    """MSH-1 and MSH-2 (also of FHS and BHS) of bytes that begin with the header segment.

    MSH-2 may hold one to five characters; what it does not name the message does not have. A doubled escape character
    (``^~\\\\&``, as some senders' string literals leave it) counts once.

    Raises:
        MalformedMessage: no header, or delimiters that are letters, digits, control characters or not distinct.
    """
    return _read_delimiters(body[:11])


@lru_cache(maxsize=256)
def _read_delimiters(head: bytes) -> Delimiters:
    """``head`` is long enough for the longest MSH-2 and one byte more."""
    name = head[:3].decode("latin-1")
    if name not in HEADERS:
        raise MalformedMessage(path="MSH", detail="the message does not begin with a header segment")
    field = head[3:4]
    if not field or not _is_delimiter(field[0]):
        raise MalformedMessage(path=f"{name}-1", detail="field separator")
    rest = _LINE_END.split(head[4:], maxsplit=1)[0].split(field, 1)[0]
    if len(rest) == 5 and rest[2] == rest[3]:
        rest = rest[:3] + rest[4:]
    if not 1 <= len(rest) <= 5 or not all(map(_is_delimiter, rest)) or len({*rest, field[0]}) != len(rest) + 1:
        raise MalformedMessage(path=f"{name}-2", detail="encoding characters")
    characters = (field + rest).decode()
    return Delimiters(*(characters[n : n + 1] for n in range(6)))


def _is_delimiter(byte: int) -> bool:
    return 0x21 <= byte <= 0x7E and not chr(byte).isalnum() and byte != 0x22  # a quote would swallow HL7's null ""


def header_field(body: bytes, field: int) -> bytes:
    """One raw MSH field before the charset is known; every readable set keeps ASCII bytes where HL7 has its delimiters."""
    end = _LINE_END.search(body)
    fields = body[: end.start() if end else len(body)].split(body[3:4], field)
    return fields[field - 1] if len(fields) >= field else b""
