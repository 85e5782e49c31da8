"""Tokens: random, 15 characters, so that they fit every identifier field there is.

HL7 v2.5.1 CX.1 allows 15 characters, a FHIR id ``[A-Za-z0-9\\-.]{1,64}``. One key-epoch character and 14 of Crockford's base32 are
70 random bits; nothing in a token is derived from the individual (45 CFR 164.514(c)).
"""

from __future__ import annotations

import re
from typing import Protocol

#: https://www.crockford.com/base32.html, without the check symbols.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
#: Which generation of the master key was in use when the token was made.
KEY_EPOCH = "A"
LENGTH = 15

_TOKEN = re.compile(rf"{KEY_EPOCH}[{ALPHABET}]{{{LENGTH - 1}}}")


class Randomness(Protocol):
    """``secrets.SystemRandom()``; a seeded ``random.Random`` only in tests."""

    def getrandbits(self, k: int, /) -> int: ...

    def randrange(self, start: int, stop: int, /) -> int: ...


def new_token(randomness: Randomness) -> str:
    return from_bits(randomness.getrandbits(5 * (LENGTH - 1)))


def from_bits(bits: int) -> str:
    """The token of the lowest 70 bits."""
    return KEY_EPOCH + "".join(ALPHABET[bits >> 5 * place & 31] for place in range(LENGTH - 1))


def is_token(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None
