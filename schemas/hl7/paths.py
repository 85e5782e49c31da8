"""Paths to one leaf of a message: ``OBX[2]-5``, ``NTE[1]-3[2]`` (repetition), ``OBX[1]-5.2`` (component), ``OBX[1]-5[2].5.1``.

Segments count from 1 among those of their id and always carry the number, except ``MSH``; repetitions are written from 2 on. A
path without a component means the whole repetition as one text; separators in it are text that a careless sender did not escape.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from schemas.hl7.er7 import Message, Segment, escape

_PATH = re.compile(r"([A-Z][A-Z0-9]{2})(?:\[(\d{1,6})\])?-(\d{1,4})(?:\[(\d{1,6})\])?(?:\.(\d{1,3}))?(?:\.(\d{1,3}))?")


@dataclass(frozen=True, slots=True)
class Path:
    """``component`` and ``subcomponent`` 0 mean the whole of the level above."""

    segment: str
    number: int
    field: int
    repetition: int = 1
    component: int = 0
    subcomponent: int = 0


def parse_path(path: str) -> Path:
    """Raises ValueError when ``path`` is not of the form above."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise ValueError("not a path of an HL7 v2 leaf")
    segment, *numbers = match.groups()
    number, field, repetition, component, subcomponent = (int(text) if text else 0 for text in numbers)
    return Path(segment, number or 1, field, repetition or 1, component, subcomponent)


def segment_at(message: Message, path: Path) -> Segment:
    """Raises KeyError when the message has no such segment."""
    found = message.all(path.segment)
    if not 1 <= path.number <= len(found):
        raise KeyError(path.segment)
    return found[path.number - 1]


def read_leaf(message: Message, path: str) -> str:
    """Unescaped text at ``path``; empty if the field, repetition or component is absent."""
    where = parse_path(path)
    segment = segment_at(message, where)
    if where.component:
        return segment.get(where.field, where.repetition, where.component, where.subcomponent or 1)
    repetitions = segment.repetitions(where.field)
    return segment.leaf(repetitions[where.repetition - 1]) if where.repetition <= len(repetitions) else ""


def replace_part(message: Message, path: str, text: str) -> None:
    r"""Put ``text`` at the leaf of a note part, escaped (``\n`` becomes ``\.br\``), leaving everything beside it.

    In an ED value (``OBX[n]-5.5`` with OBX-2 ``ED``) the whole attachment becomes plain text: ``TEXT^plain^Base64`` and the data.

    Raises:
        KeyError: no such segment.
        ValueError: not a path.
    """
    where = parse_path(path)
    segment = segment_at(message, where)
    if where.segment == "OBX" and where.field == 5 and where.component == 5 and segment.get(2) == "ED":
        data = base64.b64encode(text.encode()).decode()
        for component, value in ((2, "TEXT"), (3, "plain"), (4, "Base64"), (5, data)):
            segment.set(5, value, repetition=where.repetition, component=component)
        return
    if where.component:
        segment.set(
            where.field,
            text,
            repetition=where.repetition,
            component=where.component,
            subcomponent=where.subcomponent or 1,
            line_end=".br",
        )
        return
    separator = message.delimiters.repetition
    pieces = segment.repetitions(where.field)
    pieces.extend([""] * (where.repetition - len(pieces)))
    pieces[where.repetition - 1] = escape(text, message.delimiters)
    segment.set_raw(where.field, separator.join(pieces))


def add_picture(message: Message, path: str, data: bytes, media_type: str) -> str:
    """One more repetition of the ED value at ``path`` that holds this picture (``IM^PNG^Base64``) or PDF; the new path.

    Raises:
        KeyError: no such segment.
        ValueError: not a path, or the message has no separator of repetitions.
    """
    where = parse_path(path)
    segment = segment_at(message, where)
    marks = message.delimiters
    if not marks.repetition or not marks.component:
        raise ValueError("the message has no separator of repetitions")
    kind, _, subtype = media_type.partition("/")
    value = marks.component.join(
        ("", "IM" if kind == "image" else "AP", subtype.upper(), "Base64", escape(base64.b64encode(data).decode(), marks))
    )
    count = len(segment.repetitions(where.field)) + 1
    segment.set_raw(where.field, f"{segment.raw(where.field)}{marks.repetition}{value}")
    return f"{path.partition('-')[0]}-{where.field}[{count}].{where.component}"
