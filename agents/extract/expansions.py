"""What an abbreviation stands for in its note: by the note's own definition, else by the words around it, else by its section.

Without evidence, or with evidence for more than one meaning, nothing is said. The vocabulary is ``lexicon/expansions.toml``.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

_FILE = Path(__file__).with_name("lexicon") / "expansions.toml"
#: Characters to each side in which context words count.
_REACH = 80
#: Characters before a bracket in which the words that it abbreviates are looked for.
_LONGEST = 200
_DEFINED = re.compile(r"\(([A-Z][A-Za-z]{1,7})\)")
_WORD = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Meaning:
    long: str
    words: frozenset[str]
    sections: frozenset[str]


@cache
def meanings() -> dict[str, tuple[Meaning, ...]]:
    """The shipped vocabulary by abbreviation, read once."""
    rows = tomllib.loads(_FILE.read_text("utf-8"))["abbreviation"]
    return {
        row["short"]: tuple(
            Meaning(m["long"], frozenset(m.get("words", ())), frozenset(m.get("sections", ()))) for m in row["meanings"]
        )
        for row in rows
    }


def definitions(text: str) -> dict[str, str]:
    """Abbreviations that the note itself defines: the words before "(CKD)" whose initials spell it, in one line.

    One defined in two ways is left out.
    """
    found: dict[str, str] = {}
    unsure: set[str] = set()
    for match in _DEFINED.finditer(text):
        short = match.group(1)
        line = text[max(0, match.start() - _LONGEST) : match.start()].rpartition("\n")[2]
        words = list(_WORD.finditer(line))[-len(short) :]
        if "".join(w.group()[0] for w in words).casefold() != short.casefold() or line[words[-1].end() :].strip():
            continue
        between = [line[a.end() : b.start()] for a, b in pairwise(words)]
        if any(gap.strip(" -/") for gap in between):
            continue
        long = line[words[0].start() : words[-1].end()].lower()
        if found.setdefault(short, long) != long:
            unsure.add(short)
    return {short: long for short, long in found.items() if short not in unsure}


def expand(text: str, start: int, end: int, section: str, defined: dict[str, str]) -> str:
    """The expansion of the mention ``text[start:end]``, ``""`` where there is none or it stays ambiguous."""
    short = text[start:end]
    if short in defined:
        return defined[short]
    known = meanings().get(short)
    if known is None:
        return ""
    before = text[max(0, start - _REACH) : start].rpartition("\n")[2]
    after = text[end : end + _REACH].partition("\n")[0]
    around = {w.lower() for w in _WORD.findall(before) + _WORD.findall(after)}
    told = [m.long for m in known if m.words & around] or [m.long for m in known if section in m.sections]
    return told[0] if len(told) == 1 else ""
