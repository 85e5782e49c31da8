"""Sections of a note by their headings; the vocabulary is ``lexicon/sections.toml``.

A heading is a line of its own ("FAMILY HISTORY"), a run-in heading before a colon ("Allergies: penicillin"), or, inside a line,
an upper-case known heading before a colon ("... stable. PAST MEDICAL HISTORY: asthma"). Upper-case lines with a colon that the
vocabulary does not know open a section named ``other``, so that the section before them ends.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from agents.extract.lexicon import lexicon
from agents.extract.sentences import Sentence, split_sentences

OTHER = "other"

_FILE = Path(__file__).with_name("lexicon") / "sections.toml"
_MARK = r"[ \t]*(?:[-*•#]+[ \t]+|\d{1,2}[.)][ \t]+)?(?:(?i:his|her|the|patient's|significant|pertinent|past)[ \t]+)?"


@dataclass(frozen=True, slots=True)
class Section:
    """``text[start:end]``; the heading ends at ``body``. ``name`` is canonical, ``""`` before the first heading."""

    name: str
    start: int
    body: int
    end: int


@dataclass(frozen=True, slots=True)
class Headings:
    names: dict[str, str]
    pattern: re.Pattern[str]
    subheadings: frozenset[str]


@cache
def headings() -> Headings:
    """The shipped vocabulary, read once."""
    table = tomllib.loads(_FILE.read_text("utf-8"))
    names = {_fold(heading): name for name, rows in table["sections"].items() for heading in rows}
    known = "|".join(
        r"[ \t]+".join(re.escape(word) for word in heading.split()) for heading in sorted(names, key=len, reverse=True)
    )
    # Three alternatives: a known heading with colon or alone on its line; the same in capitals inside a line; an unknown line in
    # capitals. Lookbehind for two spaces, a terminator or line start keeps "no family history: ..." out.
    pattern = re.compile(
        rf"^{_MARK}(?P<line>(?i:{known}))[ \t]*(?::|-[ \t]|(?=\r?$))"
        rf"|(?:(?<=[.;:]\s)|(?<=\s\s)|(?<=\A))(?P<inline>{_upper(known)})[ \t]*:"
        r"|^[ \t]*(?P<unknown>[A-Z][A-Z0-9&/(),' \t-]{2,58}[A-Z)])[ \t]*:",
        re.MULTILINE,
    )
    return Headings(names, pattern, frozenset(table["subheadings"]))


def _upper(known: str) -> str:
    return "|".join(part.upper().replace(r"[ \T]+", r"[ \t]+") for part in known.split("|"))


def _fold(heading: str) -> str:
    return " ".join(heading.lower().split())


def split_sections(text: str) -> tuple[Section, ...]:
    """Sections in order; they cover the whole text."""
    table = headings()
    marks: list[tuple[str, int, int]] = []
    for match in table.pattern.finditer(text):
        known = match.group("line") or match.group("inline")
        name = table.names[_fold(known)] if known else OTHER
        if name in table.subheadings and marks:
            continue  # "Chest:" inside a physical examination stays part of it
        marks.append((name, match.start(), match.end()))
    found = []
    if not marks or marks[0][1] > 0:
        found.append(Section("", 0, 0, marks[0][1] if marks else len(text)))
    for number, (name, start, body) in enumerate(marks):
        found.append(Section(name, start, body, marks[number + 1][1] if number + 1 < len(marks) else len(text)))
    return tuple(found)


def section_at(sections: tuple[Section, ...], offset: int) -> Section:
    """The section that holds ``offset``."""
    low, high = 0, len(sections)
    while high - low > 1:
        middle = (low + high) // 2
        if sections[middle].start <= offset:
            low = middle
        else:
            high = middle
    return sections[low]


def layout(text: str) -> tuple[tuple[Section, ...], tuple[Sentence, ...]]:
    """Sections and sentences of a note; no sentence crosses a section.

    A heading whose section has an assertion default is no part of a sentence: the default says what it says.
    """
    sections = split_sections(text)
    silent = lexicon().sections
    return sections, tuple(
        sentence for s in sections for sentence in split_sentences(text, s.body if s.name in silent else s.start, s.end)
    )
