"""The MSH segment as bytes: what acknowledging needs, also of messages that cannot be read any further.

Nothing here decodes or validates; values are the bytes as sent, so that an acknowledgement echoes them exactly.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: No sane MSH segment is longer; a peer cannot make the answer large by making the header large.
MAX_HEADER = 4096
_BOM = b"\xef\xbb\xbf"
_SEGMENT_END = re.compile(rb"[\r\n]")
_BLANK = b" \t\r\n\x00"


@dataclass(frozen=True, slots=True, repr=False)
class Header:
    """Raw fields of MSH (or of FHS/BHS, whose first eleven fields stand in the same places).

    Attributes:
        separator: MSH-1, one byte.
        encoding: MSH-2 as sent.
        fields: ``fields[n]`` is field n; ``fields[0]`` the segment id.
    """

    separator: bytes
    encoding: bytes
    fields: tuple[bytes, ...]

    def get(self, field: int) -> bytes:
        """The raw field, empty when absent."""
        return self.fields[field] if field < len(self.fields) else b""

    def component(self, field: int, component: int) -> bytes:
        """A raw component of the first repetition, counted from 1, empty when absent."""
        value = self.get(field)
        if len(self.encoding) > 1:
            value = value.split(self.encoding[1:2], 1)[0]
        parts = value.split(self.encoding[:1]) if self.encoding else [value]
        return parts[component - 1] if component <= len(parts) else b""

    @property
    def control_id(self) -> bytes:
        """MSH-10 (BHS-11/FHS-11 of a batch)."""
        return self.get(10 if self.fields[0] == b"MSH" else 11).strip()


def trim(payload: bytes) -> bytes:
    """The payload without a byte order mark and blanks before its first segment (tolerated, never stored away)."""
    return payload.removeprefix(_BOM).lstrip(_BLANK)


def read_header(payload: bytes, names: tuple[bytes, ...] = (b"MSH",)) -> Header | None:
    """The first segment when it is one of ``names`` and a field separator follows, else ``None``; delimiters are not judged."""
    head = trim(payload[: MAX_HEADER + 64])[:MAX_HEADER]
    end = _SEGMENT_END.search(head)
    line = head[: end.start()] if end else head
    name, separator = line[:3], line[3:4]
    if name not in names or not separator or separator.isalnum() or not 32 < separator[0] < 127:
        return None
    parts = line.split(separator)
    encoding = parts[1] if len(parts) > 1 else b""
    return Header(separator, encoding, (name, separator, *parts[1:]))
