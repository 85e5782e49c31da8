r"""Delimiters of a message and the escape sequences of its leaves (HL7 v2.8.2 chapter 2.7).

Unescape only after splitting, at the leaf. What is not a known sequence stays verbatim: an unmatched escape character or
``\Cxxyy\`` never costs the rest of the field.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

#: Bounds what ``\.sp9999999\`` can ask for.
_MAX_SPACES = 200

_HEX = re.compile(r"X(?:[0-9A-Fa-f]{2})+\Z")
_SKIP = re.compile(r"\.(sp|sk|in|ti)([+-]?\d{0,4})\Z")
_MARKUP = {"H": "", "N": "", ".br": "\n", ".ce": "\n", ".fi": "", ".nf": ""}


@dataclass(frozen=True, slots=True)
class Delimiters:
    """MSH-1 and MSH-2 of one message; an empty string is a delimiter that the message does not have."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    truncation: str = ""


def unescape(text: str, delimiters: Delimiters, charset: str = "utf-8") -> str:
    r"""The text that a leaf stands for; formatting commands become line ends and blanks, ``\Xhh..\`` bytes of ``charset``."""
    escape = delimiters.escape
    if not escape or escape not in text:
        return text
    out: list[str] = []
    position = 0
    while (start := text.find(escape, position)) >= 0:
        out.append(text[position:start])
        end = text.find(escape, start + 1)
        plain = _sequence(text[start + 1 : end], delimiters, charset) if end >= 0 else None
        if plain is None:
            out.append(escape)
            position = start + 1
        else:
            out.append(plain)
            position = end + 1
    out.append(text[position:])
    return "".join(out)


def _sequence(body: str, delimiters: Delimiters, charset: str) -> str | None:
    if len(body) == 1 and body in "FSTREP":
        found = {
            "F": delimiters.field,
            "S": delimiters.component,
            "T": delimiters.subcomponent,
            "R": delimiters.repetition,
            "E": delimiters.escape,
            "P": delimiters.truncation,
        }[body]
        return found or None
    if body in _MARKUP:
        return _MARKUP[body]
    if body[:1] == "X" and _HEX.match(body):
        try:
            return bytes.fromhex(body[1:]).decode(charset)
        except UnicodeDecodeError:
            return None
    if body[:1] == "." and (skip := _SKIP.match(body)):
        command, number = skip.groups()
        if command in ("in", "ti"):
            return ""
        count = min(int(number.lstrip("+-") or "1"), _MAX_SPACES)
        return ("\n" if command == "sp" else " ") * count
    return None


def escape(text: str, delimiters: Delimiters, *, line_end: str = ".br") -> str:
    r"""``text`` as one leaf. Inverse of ``unescape`` but for markup, which is gone.

    Args:
        text: any text; control characters that would break segments or MLLP frames become ``\Xhh\``.
        delimiters: of the message that the leaf goes into. Without an escape character its delimiters become blanks.
        line_end: sequence for ``\n``: ``.br`` in text, ``X0A`` where markup is not allowed.
    """
    return text if text.isalnum() else text.translate(_escape_table(delimiters, line_end))


@lru_cache(maxsize=64)
def _escape_table(delimiters: Delimiters, line_end: str) -> dict[int, str]:
    mark = delimiters.escape
    letters = (
        (delimiters.field, "F"),
        (delimiters.component, "S"),
        (delimiters.subcomponent, "T"),
        (delimiters.repetition, "R"),
        (delimiters.truncation, "P"),
        (mark, "E"),
        ("\n", line_end),
        ("\r", "X0D"),
        ("\x0b", "X0B"),
        ("\x1c", "X1C"),
    )
    return {ord(char): f"{mark}{letter}{mark}" if mark else " " for char, letter in letters if char}
