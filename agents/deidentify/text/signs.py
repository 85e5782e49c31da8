"""Where it is worth looking: patterns are tried only around their signs, which one pass of an Aho-Corasick automaton finds for all.

A note of 3 kB holds few titles, months and labels; without this every pattern would walk over every character of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import ahocorasick

_DIGIT = re.compile(r"\d")
_registered: list[Near] = []


class Near:
    """A pattern whose matches hold one of ``signs`` (lower-case words, blanks between them).

    Args:
        before, after: how far a match can reach from the sign; must exceed the longest match that matters, because a window's end
            looks like the text's end to the pattern.
        digit: a match needs a digit in the window.
        whole: signs are words of their own, no letter or digit before them and no letter behind.
    """

    def __init__(
        self, pattern: re.Pattern[str], signs: str, *, before: int = 0, after: int = 160, digit: bool = False, whole: bool = True
    ) -> None:
        self.pattern = pattern
        self.signs = tuple(signs.split())
        self.whole = whole
        self._before, self._after, self._digit = before, after, digit
        self._number = len(_registered)
        _registered.append(self)

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        places = _places(text).get(self._number)
        if places:
            yield from _search(self.pattern, text, ((p - self._before, p + self._after) for p in places), digit=self._digit)


class NearMatch:
    """The same with a cheap pattern as the sign."""

    def __init__(self, pattern: re.Pattern[str], sign: str, *, before: int, after: int) -> None:
        self.pattern = pattern
        self._sign = re.compile(sign)
        self._before, self._after = before, after

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        windows = ((m.start() - self._before, m.end() + self._after) for m in self._sign.finditer(text))
        yield from _search(self.pattern, text, windows, digit=False)


def _search(pattern: re.Pattern[str], text: str, windows: Iterator[tuple[int, int]], *, digit: bool) -> Iterator[re.Match[str]]:
    """Matches inside the windows; windows that touch are one."""
    start = stop = -1
    for low, high in windows:
        if low <= stop:
            stop = max(stop, high)
            continue
        if stop > 0 and not (digit and _DIGIT.search(text, max(0, start), stop) is None):
            yield from pattern.finditer(text, max(0, start), stop)
        start, stop = low, high
    if stop > 0 and not (digit and _DIGIT.search(text, max(0, start), stop) is None):
        yield from pattern.finditer(text, max(0, start), stop)


@lru_cache(maxsize=8)
def _places(text: str) -> Mapping[int, list[int]]:
    """Number of the pattern -> where its signs begin."""
    lower = text.lower()
    if len(lower) != len(text):
        lower = "".join(char.lower() if len(char.lower()) == 1 else char for char in text)
    found: dict[int, list[int]] = {}
    length = len(lower)
    for last, (size, free, whole) in _automaton(len(_registered)).iter(lower):
        start, end = last - size + 1, last + 1
        for number in free:
            found.setdefault(number, []).append(start)
        if whole and not (start and lower[start - 1].isalnum()) and not (end < length and lower[end].isalpha()):
            for number in whole:
                found.setdefault(number, []).append(start)
    for places in found.values():
        places.sort()
    return found


@lru_cache(maxsize=2)
def _automaton(count: int) -> Any:
    """Of the first ``count`` patterns; all of them, once the recognizers are imported."""
    users: dict[str, tuple[list[int], list[int]]] = {}
    for number, near in enumerate(_registered[:count]):
        for sign in near.signs:
            users.setdefault(sign, ([], []))[near.whole].append(number)
    automaton = ahocorasick.Automaton()
    for sign, (free, whole) in users.items():
        automaton.add_word(sign, (len(sign), tuple(free), tuple(whole)))
    automaton.make_automaton()
    return automaton
