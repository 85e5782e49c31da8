"""Text as a reader sees it: what only hides an identifier from a pattern is undone, and every offset leads back exactly.

Undone: zero-width characters and soft hyphens, full-width and compatibility forms, look-alike Cyrillic and Greek letters, digits of
other scripts, every kind of blank, combining marks on Latin letters, character references (``&#74;``), percent signs (``%4A``), escapes of
RTF (``\\'4a``) and HL7 (``\\X4A6F\\``), tags within words (``J<b>o</b>hn``; tags that begin a line or a cell read as a blank).
"""

from __future__ import annotations

import html
import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

_LOOKALIKES = dict(
    zip(
        "АВЕКМНОРСТУХІЈЅԚԜаеорсухіјѕһԁɡΑΒΕΖΗΙΚΜΝΟΡΤΥΧοαν",
        "ABEKMHOPCTYXIJSQWaeopcyxijshdgABEZHIKMNOPTYXoav",
        strict=True,
    )
)
_KEPT_CONTROLS = "\n\t\r"
_ENCODED = re.compile(
    r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});|%[0-9A-Fa-f]{2}|\\'[0-9A-Fa-f]{2}|\\X(?:[0-9A-Fa-f]{2}){1,64}\\"
    r"|</?[A-Za-z][A-Za-z0-9]{0,10}(?:\s[^<>]{0,200})?/?>"
)
_INLINE = re.compile(r"</?(?:a|abbr|b|bdi|big|code|em|font|i|mark|q|s|small|span|strong|sub|sup|tt|u|wbr)\b", re.IGNORECASE)


class Normal(NamedTuple):
    """``starts[i]`` is where character ``i`` of ``text`` begins in the original, ``starts[-1]`` its length; ``None``: unchanged."""

    text: str
    starts: list[int] | None

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Offsets in the original; a character that was taken out goes with the one before it."""
        return (start, end) if self.starts is None else (self.starts[start], self.starts[end])


def normalise(text: str) -> Normal:
    if is_plain(text):
        return Normal(text, None)
    out: list[str] = []
    starts: list[int] = []
    position = 0
    for match in _ENCODED.finditer(text):
        _fold(text, position, match.start(), out, starts)
        plain = _decoded(match[0])
        for char in plain:
            out.append(char)
            starts.append(match.start())
        position = match.end()
    _fold(text, position, len(text), out, starts)
    if len(out) == len(text) and all(start == n for n, start in enumerate(starts)):
        return Normal("".join(out), None)
    return Normal("".join(out), [*starts, len(text)])


def is_plain(text: str) -> bool:
    """Whether nothing in the text is disguised: ``normalise`` would give it back."""
    return text.isascii() and not (
        ("&" in text or "%" in text or "<" in text or "\\" in text) and _ENCODED.search(text) is not None
    )


def _fold(text: str, start: int, end: int, out: list[str], starts: list[int]) -> None:
    for position in range(start, end):
        char = text[position]
        folded = char if char.isascii() else fold_char(char)
        if len(folded) == 1:
            out.append(folded)
            starts.append(position)
        else:
            for piece in folded:
                out.append(piece)
                starts.append(position)


@lru_cache(maxsize=4096)
def fold_char(char: str) -> str:
    """One character without accents and disguise; empty for what cannot be seen."""
    if char in _LOOKALIKES:
        return _LOOKALIKES[char]
    category = unicodedata.category(char)
    if category in ("Cf", "Mn", "Me", "Cc", "Co", "Cn") and char not in _KEPT_CONTROLS:
        return ""
    if category in ("Zs", "Zl", "Zp"):
        return " "
    if category == "Nd":
        return str(unicodedata.digit(char))
    if category == "Pd":
        return "-"
    if char in "‘’ʼ′`´":
        return "'"
    plain = "".join(c for c in unicodedata.normalize("NFKD", char) if not unicodedata.combining(c))
    return plain or char


def _decoded(code: str) -> str:
    """Characters of a reference; nothing for a tag within a line; what is no reference, or stands for UTF-8 bytes beyond ASCII, stays."""
    if code.startswith("<"):
        return "" if _INLINE.match(code) else " "
    if code.startswith("\\"):
        plain = bytes.fromhex(code[2:].rstrip("\\")).decode("cp1252", "replace")
        return "".join(c if c.isascii() else fold_char(c) for c in plain)
    if code.startswith("%"):
        char = chr(int(code[1:], 16))
        return char if char.isascii() and char.isprintable() else code
    plain = html.unescape(code)
    return "".join(c if c.isascii() else fold_char(c) for c in plain) if plain != code else code


WORD = re.compile(r"[^\W_]+")


@lru_cache(maxsize=8192)
def words_in(text: str) -> tuple[str, ...]:
    """Words for comparing. Feeds name the same people and places all day; few are remembered, and not for long."""
    return tuple(WORD.findall(plain_words(text)))


def plain_words(text: str) -> str:
    """For comparing: folded, case folded."""
    return (text if text.isascii() else normalise(text).text).casefold()
