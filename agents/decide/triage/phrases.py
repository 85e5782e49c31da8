"""Where phrases stand in a run of words: all phrases of a table are looked for in one pass, by their first words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

#: (first word, last word)
Place = tuple[int, int]
_Run = tuple[str, ...]


class Phrases:
    """``groups``: alternatives between ``|``, each a run of words; a word that ends in ``*`` is free in its last letters."""

    def __init__(self, groups: Iterable[str]) -> None:
        self._whole: dict[str, list[tuple[str, _Run]]] = defaultdict(list)
        self._begun: dict[str, list[tuple[str, _Run]]] = defaultdict(list)
        for group in dict.fromkeys(groups):
            for run in filter(None, (tuple(text.split()) for text in group.split("|"))):
                if run[0].endswith("*"):
                    self._begun[run[0][:-1]].append((group, run))
                else:
                    self._whole[run[0]].append((group, run))
        self._lengths = sorted({len(beginning) for beginning in self._begun})

    def places(self, words: Sequence[str]) -> dict[str, list[Place]]:
        """By group, every alternative that stands there, from the first word on; a group that stands nowhere is not in it."""
        found: dict[str, list[Place]] = defaultdict(list)
        for start, word in enumerate(words):
            runs = list(self._whole.get(word, ()))
            for length in self._lengths:
                if length <= len(word):
                    runs += self._begun.get(word[:length], ())
            for group, run in runs:
                rest = words[start + 1 : start + len(run)]
                if len(rest) == len(run) - 1 and all(map(_equal, rest, run[1:])):
                    found[group].append((start, start + len(run) - 1))
        return dict(found)


def _equal(word: str, part: str) -> bool:
    return word.startswith(part[:-1]) if part.endswith("*") else word == part
