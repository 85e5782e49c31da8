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
    mark = delimiters.escape
    if not mark or mark not in text:
        return text
    pattern, fixed = _sequences(delimiters)

    def replace(match: re.Match[str]) -> str:
        whole = match[0]
        known = fixed.get(whole)
        return known if known is not None else _variable(whole[1:-1], charset, whole)

    return pattern.sub(replace, text)


@lru_cache(maxsize=64)
def _sequences(delimiters: Delimiters) -> tuple[re.Pattern[str], dict[str, str]]:
    """A pattern of the known sequences alone, so that others are passed over, and what those of fixed meaning stand for."""
    mark = delimiters.escape
    fixed = {f"{mark}{body}{mark}": text for body, text in _MARKUP.items()}
    for letter, char in zip("FSTREP", (delimiters.field, delimiters.component, delimiters.subcomponent, delimiters.repetition,
                                       mark, delimiters.truncation), strict=True):  # fmt: skip
        if char:
            fixed[f"{mark}{letter}{mark}"] = char
    letters = "".join(letter for letter in "FSTREP" if f"{mark}{letter}{mark}" in fixed)
    end = re.escape(mark)
    body = rf"[{letters}HN]|\.(?:br|ce|fi|nf)|X(?:[0-9A-Fa-f]{{2}})+|\.(?:sp|sk|in|ti)[+-]?[0-9]{{0,4}}"
    return re.compile(f"{end}(?:{body}){end}"), fixed


def _variable(body: str, charset: str, whole: str) -> str:
    """Hexadecimal bytes, or a formatting command with a number; ``whole`` where the bytes are no text."""
    if body[0] == "X":
        try:
            return bytes.fromhex(body[1:]).decode(charset)
        except UnicodeDecodeError:
            return whole
    command, number = body[1:3], body[3:].lstrip("+-")
    if command in ("in", "ti"):
        return ""
    return ("\n" if command == "sp" else " ") * min(int(number or "1"), _MAX_SPACES)


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
