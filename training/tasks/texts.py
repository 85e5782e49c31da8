"""What the generators of labelled texts share: templates kept apart by hash, background sentences, and how people write."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from random import Random
from zlib import crc32

from training.data.bases import base_texts

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_SHORTEST, _LONGEST = 25, 220  # characters of a background sentence
HELD_APART = 4  # one template, and one base text, in four is for development


def kept_apart(text: str) -> bool:
    """Whether a base text belongs to development; stable over runs and machines."""
    return crc32(text.encode()) % HELD_APART == 0


def part(templates: Sequence[str], *, development: bool) -> list[str]:
    """Every fourth template for development, the others for training."""
    return [t for k, t in enumerate(templates) if (k % HELD_APART == HELD_APART - 1) == development]


def background(data: Path, *, development: bool) -> list[str]:
    """Sentences of free clinical texts, those of development texts apart from those of training texts."""
    return [
        sentence
        for text in base_texts(data)
        if kept_apart(text) == development
        for sentence in _SENTENCE.split(text)
        if _SHORTEST <= len(sentence) <= _LONGEST
    ]


def restyled(text: str, random: Random) -> str:
    """The text in capitals, in small letters, with a slip of the keyboard, or as it is (mostly)."""
    draw = random.random()
    if draw < 0.08:
        return text.upper()
    if draw < 0.2:
        return text.lower()
    if draw < 0.3:
        return _slip(text, random)
    return text


def _slip(text: str, random: Random) -> str:
    at = random.randrange(1, max(2, len(text) - 1))
    if text[at - 1 : at + 1].isalpha():
        return text[: at - 1] + text[at : at + 1] + text[at - 1 : at] + text[at + 1 :]
    return text
