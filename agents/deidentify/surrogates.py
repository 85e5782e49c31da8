"""Names and numbers that look real and are nobody's: for exports that train on text (hiding in plain sight).

The same word of one patient is always the same surrogate, in every message and format: chosen by a hash keyed with a random secret of
the patient's, which only the vault has. That is derived from the person's data, so Safe Harbor may not have it (45 CFR 164.514(c)). It hides what a layer missed,
it does not remove it: a published attack found two thirds of the leaks hidden so.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection
from functools import cache
from importlib import resources

from agents.deidentify.text.normalise import plain_words
from agents.deidentify.text.spans import ID, NAME, PHONE

#: What a surrogate can stand for; everything else keeps its tag.
KINDS = frozenset({NAME, ID, PHONE})
_WORD = re.compile(r"[^\W\d_]+")
#: Of what stands between words and digits, this much; the rest (line ends, markup, separators of a message) becomes a blank.
_NOT_BETWEEN = re.compile(r"[^A-Za-z0-9 .,()/+:'-]")
_CHAR = re.compile(r"[^\W_]")


@cache
def names() -> tuple[str, ...]:
    """The neutral names, see the head of the table."""
    text = resources.files("agents.deidentify.tables").joinpath("surrogate_names.txt").read_text("utf-8")
    return tuple(word for line in text.splitlines() if not line.startswith("#") for word in line.split())


class Surrogates:
    """Of one message; ``taken`` are folded words that the message knows, which none of its surrogates may be."""

    __slots__ = ("_rows", "_taken")

    def __init__(self, taken: Collection[str]) -> None:
        self._rows: dict[tuple[str, str], int] = {}
        self._taken = taken

    def __repr__(self) -> str:
        return "<Surrogates>"

    def mark(self, kind: str, written: str) -> str:
        """Where the surrogate will stand."""
        return f"\ufdd0s{self._rows.setdefault((kind, written), len(self._rows))}\ufdd1"

    def chosen(self, secret: int, without: str = "") -> list[str]:
        """The surrogates in the order of their marks; ``secret``: 64 bits, ``without``: characters that none may hold (separators of the message)."""
        key, blanks = secret.to_bytes(8), str.maketrans(dict.fromkeys(without, " "))
        return [
            _NOT_BETWEEN.sub(" ", self._name(key, written) if kind == NAME else self._number(key, written)).translate(blanks)
            for kind, written in self._rows
        ]

    def _name(self, key: bytes, written: str) -> str:
        return _WORD.sub(lambda match: _shaped(match[0], self._word(key, match[0])), written)

    def _word(self, key: bytes, word: str) -> str:
        start = _number(key, f"name\x1f{plain_words(word)}")
        if len(word) == 1:
            return chr(ord("A") + start % 26)
        neutral = names()
        for step in range(len(neutral)):
            name = neutral[(start + step) % len(neutral)]
            if name.casefold() not in self._taken and name.casefold() != plain_words(word):
                return name
        return "X" * len(word)

    def _number(self, key: bytes, written: str) -> str:
        """Digits for digits, letters for letters, separators as they are; the same number however it is separated."""
        plain = "".join(_CHAR.findall(plain_words(written)))
        for attempt in range(16):
            stream = hmac.new(key, f"number\x1f{attempt}\x1f{plain}".encode(), hashlib.sha512).digest()
            chars = iter(stream * (len(written) // len(stream) + 1))
            new = _CHAR.sub(lambda match: _like(match[0], next(chars)), written)  # noqa: B023 - used at once
            if "".join(_CHAR.findall(new)).casefold() not in self._taken and new != written:
                return new
        return _CHAR.sub("0", written)


def _number(key: bytes, text: str) -> int:
    return int.from_bytes(hmac.new(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()[:8])


def _like(char: str, byte: int) -> str:
    if char.isdigit():
        return str(byte % 10)
    letter = chr(ord("A") + byte % 26)
    return letter.lower() if char.islower() else letter


def _shaped(word: str, name: str) -> str:
    if len(word) > 1 and word.isupper():
        return name.upper()
    return name.lower() if word.islower() else name
