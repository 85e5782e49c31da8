"""What the makers of surrogate values share: weighted choices and number shapes, by one random generator."""

from __future__ import annotations

from random import Random
from typing import Final

from training.phi.gazetteer import Gazetteer

#: A text and its PHI type; ``None`` for what is no identifier.
Value = tuple[str, str | None]

LETTERS: Final = "ABCDEFGHJKLMNOPRSTVWXYZ"
_SIGNS: Final = {
    "#": "0123456789",
    "@": LETTERS,
    "~": "abcdefghijklmnoprstvw",
    "%": "0123456789abcdef",
    "&": "ABCDEFGHJKLMNPRSTUVWXYZ0123456789",
}


class Draw:
    """Base of the makers; the same state of the random generator gives the same values."""

    def __init__(self, random: Random, gazetteer: Gazetteer) -> None:
        self._random = random
        self._gazetteer = gazetteer
        self._lists = gazetteer.lists

    def _pick(self, name: str) -> str:
        """One of the words of a list."""
        return self._random.choice(self._lists[name])

    def _weighted(self, *choices: tuple[float, str]) -> str:
        return self._random.choices([text for _, text in choices], [weight for weight, _ in choices])[0]

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _letter(self) -> str:
        return self._random.choice(LETTERS)

    def _shape(self, shape: str) -> str:
        """A shape of ``patterns.toml`` with its signs filled."""
        draw = self._random.choice
        return "".join(draw(_SIGNS[c]) if c in _SIGNS else c for c in shape)

    def _pattern(self, kind: str) -> str:
        shapes, weights = self._gazetteer.patterns[kind]
        return self._shape(self._random.choices(shapes, weights)[0])
