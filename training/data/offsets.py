"""Offsets of tools that count UTF-16 code units, as JavaScript does, and ours, which count code points."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate


class Utf16:
    """Both ways for one text. A character beyond U+FFFF is two code units."""

    def __init__(self, text: str) -> None:
        self._units = [0, *accumulate(2 if character > "\uffff" else 1 for character in text)]

    def units(self, points: int) -> int:
        return self._units[points]

    def points(self, units: int) -> int:
        """Raises ValueError: beyond the text, or inside a character."""
        found = bisect_left(self._units, units)
        if found == len(self._units) or self._units[found] != units:
            raise ValueError("no character begins there")
        return found
