r"""ER7, the pipe-and-hat form of HL7 v2: a reader that splits only what is touched and writes back what it read.

An unedited message encodes to the very bytes that it was parsed from: trailing separators, ``""``, blank segments, line ends and
escapes included. Fields are split when a segment is first touched, components when they are read, escapes at the leaf.

Segments end in CR. CRLF and LF are tolerated: an LF ends a segment where what follows looks like one (id and field separator),
otherwise it is a line end inside a field, as careless senders of notes write it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from schemas.errors import MalformedMessage, Reason
from schemas.hl7 import charset
from schemas.hl7.escapes import Delimiters, escape, unescape
from schemas.hl7.header import HEADERS, header_field, read_delimiters

__all__ = ["Delimiters", "Limits", "Message", "Segment", "escape", "parse", "read_delimiters", "unescape"]

_BOM = b"\xef\xbb\xbf"
_OTHER_BOMS = (b"\xff\xfe", b"\xfe\xff")
_LINE_ENDS = re.compile(r"[\r\n]+")


@dataclass(frozen=True, slots=True)
class Limits:
    """Most separators a message may hold; counted before anything is split, so that a bomb costs one pass over the bytes."""

    size: int = 64 * 1024 * 1024
    segments: int = 50_000
    fields: int = 1_000_000
    repetitions: int = 100_000
    components: int = 500_000
    subcomponents: int = 500_000
    escapes: int = 200_000


DEFAULT_LIMITS = Limits()


class Segment:
    """One segment; fields, repetitions, components and subcomponents count from 1.

    Attributes:
        id: ``PID``, ``ZAB``; empty when the line does not begin like a segment.
    """

    __slots__ = ("_fields", "_message", "_text", "end", "id")

    def __init__(self, text: str, end: str, message: Message) -> None:
        self._message = message
        self._text = text
        self._fields: list[str] | None = None
        self.end = end
        self.id = _segment_id(text[:4], message.delimiters.field)

    def __repr__(self) -> str:
        return f"<Segment {self.id or '???'}>"

    @property
    def text(self) -> str:
        """The segment as it stands, without its end."""
        return self._text if self._fields is None else self._message.delimiters.field.join(self._fields)

    def _split(self) -> list[str]:
        if self._fields is None:
            self._fields = self._text.split(self._message.delimiters.field)
        return self._fields

    def __len__(self) -> int:
        """Number of fields present; a header's field separator counts as its field 1."""
        return len(self._split()) - (0 if self.id in HEADERS else 1)

    def filled(self) -> list[int]:
        """Numbers of the fields that hold anything, from 1; of a header from 3, after its delimiters."""
        fields = self._split()
        if self.id in HEADERS:
            return [position + 1 for position in range(2, len(fields)) if fields[position]]
        return [position for position in range(1, len(fields)) if fields[position]]

    def raw(self, field: int) -> str:
        """The whole field as it stands, all repetitions, still escaped; empty if absent."""
        if self.id in HEADERS:
            if field == 1:
                return self._message.delimiters.field
            field -= 1
        fields = self._fields if self._fields is not None else self._split()
        return fields[field] if 0 < field < len(fields) else ""

    def fields(self) -> Sequence[str]:
        """Every whole field as it stands, at its number; at 0 something that is none. To be read, not written."""
        texts = self._fields if self._fields is not None else self._split()
        return ["", *texts] if self.id in HEADERS else texts

    def raws(self, fields: tuple[int, ...]) -> tuple[str, ...]:
        """``raw`` of several fields from 2 on, in one go."""
        texts = self._fields if self._fields is not None else self._split()
        count, shift = len(texts), 1 if self.id in HEADERS else 0
        return tuple([texts[field - shift] if field - shift < count else "" for field in fields])

    def set_raw(self, field: int, text: str) -> None:
        """Replace the whole field by text that is already escaped; an empty text beyond the last field changes nothing.

        Raises:
            ValueError: the text would break the segment, or the field is a header's delimiter.
        """
        delimiters = self._message.delimiters
        if delimiters.field in text or "\r" in text or "\n" in text:
            raise ValueError(f"{self.id}-{field}: separator in a field")
        if self.id in HEADERS:
            if field < 3:
                raise ValueError(f"{self.id}-{field}: delimiters cannot be edited")
            field -= 1
        if field < 1:
            raise ValueError(f"{self.id}-{field}: fields count from 1")
        fields = self._split()
        if field >= len(fields):
            if not text:
                return
            fields.extend([""] * (field + 1 - len(fields)))
        fields[field] = text

    def repetitions(self, field: int) -> list[str]:
        """Raw repetitions of the field; an absent or empty field has none. A header's delimiters are not split."""
        text = self.raw(field)
        if not text:
            return []
        separator = self._message.delimiters.repetition
        if not separator or (field == 2 and self.id in HEADERS):
            return [text]
        return text.split(separator)

    def components(self, repetition: str) -> list[str]:
        """Raw components of one raw repetition."""
        separator = self._message.delimiters.component
        return repetition.split(separator) if separator else [repetition]

    def subcomponents(self, component: str) -> list[str]:
        """Raw subcomponents of one raw component."""
        separator = self._message.delimiters.subcomponent
        return component.split(separator) if separator else [component]

    def plain(self, component: str) -> str:
        """First leaf of a raw component, unescaped, without blanks around it; HL7's null ``""`` is empty."""
        if not component or component.isalnum():
            return component
        delimiters = self._message.delimiters
        if delimiters.subcomponent:
            component = component.split(delimiters.subcomponent, 1)[0]
        if delimiters.escape and delimiters.escape in component:
            component = unescape(component, delimiters, self._message.charset)
        component = component.strip()
        return "" if component == '""' else component

    def leaf(self, text: str) -> str:
        """Raw text unescaped, whatever level it stands on."""
        mark = self._message.delimiters.escape
        return unescape(text, self._message.delimiters, self._message.charset) if mark and mark in text else text

    def get(self, field: int, repetition: int = 1, component: int = 1, subcomponent: int = 1) -> str:
        """One unescaped leaf; empty if absent. Header delimiters come as they stand."""
        text = self.raw(field)
        if not text or (field < 3 and self.id in HEADERS):
            return text if repetition == component == subcomponent == 1 else ""
        delimiters = self._message.delimiters
        for separator, position in (
            (delimiters.repetition, repetition),
            (delimiters.component, component),
            (delimiters.subcomponent, subcomponent),
        ):
            if separator and separator in text:
                pieces = text.split(separator, position)
                if position > len(pieces):
                    return ""
                text = pieces[position - 1]
            elif position != 1:
                return ""
        mark = delimiters.escape
        return unescape(text, delimiters, self._message.charset) if mark and mark in text else text

    def set(
        self, field: int, text: str, *, repetition: int = 1, component: int = 1, subcomponent: int = 1, line_end: str = "X0A"
    ) -> None:
        """Escape ``text`` and put it at one leaf, leaving its neighbours; missing levels are filled up."""
        delimiters = self._message.delimiters
        new = escape(text, delimiters, line_end=line_end)
        self.set_raw(field, _put(self.raw(field), delimiters, (repetition, component, subcomponent), new))


@lru_cache(maxsize=1024)
def _segment_id(head: str, field: str) -> str:
    """``PID`` of ``PID|`` or of a line that is just ``PID``; empty for what is no segment id."""
    name = head[:3]
    regular = len(name) == 3 and head[3:] in ("", field) and name.isalnum() and name.isascii() and name.isupper()
    return name if regular else ""


def _put(raw: str, delimiters: Delimiters, position: tuple[int, int, int], leaf: str) -> str:
    """``raw`` with ``leaf`` at ``position``; a level whose separator the message lacks can only hold position 1."""
    separators = (delimiters.repetition, delimiters.component, delimiters.subcomponent)

    def replace(text: str, level: int) -> str:
        if level == len(separators):
            return leaf
        separator, wanted = separators[level], position[level]
        if not separator:
            if wanted != 1:
                raise ValueError("the message has no separator for this level")
            return replace(text, level + 1)
        pieces = text.split(separator)
        pieces.extend([""] * (wanted - len(pieces)))
        pieces[wanted - 1] = replace(pieces[wanted - 1], level + 1)
        return separator.join(pieces)

    return replace(raw, 0)


class Message:
    """One message. ``segments`` may be edited as a list (removing a segment removes its line).

    Attributes:
        delimiters: MSH-1 and MSH-2.
        charset: Python codec that read the message and will write it.
        segments: in order; unreadable lines included, with an empty ``id``.
    """

    __slots__ = ("_payload", "_prefix", "_text", "charset", "delimiters", "segments")

    def __init__(self, payload: bytes, prefix: bytes, text: str, delimiters: Delimiters, codec: str) -> None:
        self._payload = payload
        self._prefix = prefix
        self._text = text
        self.delimiters = delimiters
        self.charset = codec
        if "\n" in text:
            self.segments = [Segment(line, end, self) for line, end in _lines(text, delimiters.field)]
        else:
            *lines, last = text.split("\r")
            self.segments = [Segment(line, "\r", self) for line in lines]
            if last:
                self.segments.append(Segment(last, "", self))

    def __repr__(self) -> str:
        return f"<Message {len(self.segments)} segments>"

    def first(self, segment_id: str) -> Segment | None:
        """The first segment of that id."""
        return next((segment for segment in self.segments if segment.id == segment_id), None)

    def all(self, segment_id: str) -> list[Segment]:
        """Every segment of that id, in order."""
        return [segment for segment in self.segments if segment.id == segment_id]

    def walk(self) -> Iterator[tuple[str, Segment]]:
        """Every segment with its path: ``MSH``, ``PID[1]``, ``OBX[3]``: counted among segments of its id; MSH is the only one."""
        seen: dict[str, int] = {}
        for segment in self.segments:
            if segment.id:
                count = seen[segment.id] = seen.get(segment.id, 0) + 1
                yield (segment.id if segment.id == "MSH" and count == 1 else f"{segment.id}[{count}]"), segment

    @property
    def header(self) -> Segment:
        """MSH; every message has one and it is the first segment."""
        return self.segments[0]

    @property
    def version(self) -> str:
        """MSH-12.1, ``2.5.1``."""
        return self.header.get(12)

    @property
    def kind(self) -> str:
        """MSH-9.1 and MSH-9.2, ``ORU^R01``; ``ACK`` when there is no event; empty when there is no type."""
        code, event = self.header.get(9), self.header.get(9, component=2)
        return f"{code}^{event}" if event else code

    def encode(self) -> bytes:
        """The message as bytes; equal to what was parsed as long as nothing was edited.

        Raises:
            MalformedMessage: ``undecodable_charset``: an edit holds characters that the message's charset lacks.
        """
        text = "".join([segment.text + segment.end for segment in self.segments])
        if text == self._text:
            return self._payload
        try:
            return self._prefix + text.encode(self.charset)
        except UnicodeEncodeError:
            raise MalformedMessage(Reason.UNDECODABLE_CHARSET, path="MSH-18") from None


def parse(payload: bytes, *, charset_fallback: str = "cp1252", limits: Limits = DEFAULT_LIMITS) -> Message:
    """Read one message.

    Args:
        payload: bytes without MLLP framing; a UTF-8 byte order mark and leading white space are kept aside and written back.
        charset_fallback: codec when neither MSH-18 nor UTF-8 fits.
        limits: see ``Limits``.

    Raises:
        MalformedMessage: ``malformed_hl7`` with the path ``MSH``, ``MSH-1``, ``MSH-2`` or, for a batch and for messages that are
            glued together, ``BHS``, ``FHS``, ``MSH[2]``; ``undecodable_charset``; ``too_large``.
    """
    if len(payload) > limits.size:
        raise MalformedMessage(Reason.TOO_LARGE, detail="message size")
    if payload[:2] in _OTHER_BOMS:
        raise MalformedMessage(Reason.UNDECODABLE_CHARSET, path="MSH", detail="UTF-16 is not allowed in HL7 v2")
    body = payload[len(_BOM) :] if payload.startswith(_BOM) else payload
    body = body.lstrip(b" \t\r\n")
    prefix = payload[: len(payload) - len(body)]
    delimiters = read_delimiters(body)
    _check_counts(body, delimiters, limits)
    declared = b"UTF-8" if prefix.startswith(_BOM) else header_field(body, 18)
    text, codec = charset.decode(body, declared, delimiters.repetition.encode(), charset_fallback)
    message = Message(payload, prefix, text, delimiters, codec)
    if message.header.id != "MSH":
        raise MalformedMessage(path=message.header.id, detail="a batch, not a message")
    if any(segment.id in HEADERS for segment in message.segments[1:]):
        raise MalformedMessage(path="MSH[2]", detail="several messages in one")
    return message


def _check_counts(body: bytes, delimiters: Delimiters, limits: Limits) -> None:
    for name, separator, most in (
        ("segments", "\r", limits.segments),
        ("segments", "\n", limits.segments),
        ("fields", delimiters.field, limits.fields),
        ("repetitions", delimiters.repetition, limits.repetitions),
        ("components", delimiters.component, limits.components),
        ("subcomponents", delimiters.subcomponent, limits.subcomponents),
        ("escapes", delimiters.escape, limits.escapes),
    ):
        if separator and len(body) > most and body.count(separator.encode()) > most:
            raise MalformedMessage(Reason.TOO_LARGE, detail=name)


@lru_cache(maxsize=64)
def _segment_start(field: str) -> re.Pattern[str]:
    return re.compile(rf"[A-Z][A-Z0-9]{{2}}(?:{re.escape(field)}|[\r\n]|\Z)")


def _lines(text: str, field: str) -> Iterator[tuple[str, str]]:
    """Segments with their ends, of a text that holds line feeds; blank lines are part of the end."""
    starts_here = _segment_start(field).match
    position = 0
    for run in _LINE_ENDS.finditer(text):
        start, stop = run.span()
        if "\r" in run[0] or stop == len(text) or starts_here(text, stop):
            yield text[position:start], run[0]
            position = stop
    if position < len(text):
        yield text[position:], ""
