"""Sentences of clinical text in one pass: prose, hard-wrapped prose, bulleted lists, telegraphic report lines.

Two decisions are taken separately: whether a line break ends a sentence, and whether a terminator inside the joined lines does.
All patterns are anchored or single-character scans, so the time is linear in the length of the text.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

#: Lines at least this long are taken for wrapped prose when they end without a terminator (70 to 80 columns are usual).
WRAP_COLUMN = 60

_BREAK = re.compile(r"\r\n|\r|\n")
_BULLET = re.compile(r"[ \t]*(?:[-*•‣◦·–—+>]+[ \t]+|\(?\d{1,2}[.)][ \t]+|\(?[a-zA-Z][.)][ \t]+|o[ \t]+|\[[ xX]?\][ \t]*)")
_TERMINATOR = re.compile(r"(?<![.!?])[.!?]+[\"')\]]*(?=\s)|;(?=\s)")
_LAST_WORD = re.compile(r"[\w./'-]{0,24}\Z")
#: Words whose period does not end a sentence, and those of them that may stand last ("metoprolol 25 mg b.i.d. Continue").
_WORDS = tomllib.loads(Path(__file__).with_name("lexicon").joinpath("abbreviations.toml").read_text("utf-8"))
_ABBREVIATIONS: frozenset[str] = frozenset(_WORDS["inside"] + _WORDS["last"])
_ENDING: frozenset[str] = frozenset(_WORDS["last"])


@dataclass(frozen=True, slots=True)
class Sentence:
    """``text[start:end]``; ``lead`` is the line with a colon that introduces the list this item belongs to, if any."""

    start: int
    end: int
    lead: tuple[int, int] | None = None


def split_sentences(text: str, start: int = 0, end: int | None = None) -> tuple[Sentence, ...]:
    """Sentences of ``text[start:end]`` in order, without surrounding white space; together they cover every other character."""
    stop = len(text) if end is None else end
    found: list[Sentence] = []
    lead: tuple[int, int] | None = None
    for a, b, listed in _blocks(text, start, stop):
        pieces = _pieces(text, a, b)
        if not listed:
            lead = None
        found.extend(Sentence(x, y, lead) for x, y in pieces)
        if not listed and pieces and text[b - 1] == ":":
            lead = pieces[-1]
    return tuple(found)


def _blocks(text: str, start: int, stop: int) -> list[tuple[int, int, bool]]:
    """Runs of lines that belong together, trimmed, and whether the run is an item of a list."""
    blocks: list[tuple[int, int, bool]] = []
    open_at: int | None = None
    listed = False
    last = start
    previous = ""
    for a, b in _lines(text, start, stop):
        line = text[a:b]
        stripped = line.strip()
        bullet = _BULLET.match(line)
        begins = a + len(line) - len(line.lstrip())
        if open_at is not None and (not stripped or bullet or not _continues(previous, stripped)):
            blocks.append((open_at, last, listed))
            open_at = None
        if stripped:
            if open_at is None:
                open_at = begins
                # A list goes on while its items are bulleted or, under a lead line, while no blank line comes between.
                listed = bullet is not None
            last = begins + len(stripped)
        previous = stripped
    if open_at is not None:
        blocks.append((open_at, last, listed))
    return blocks


def _lines(text: str, start: int, stop: int) -> list[tuple[int, int]]:
    rows = []
    at = start
    for match in _BREAK.finditer(text, start, stop):
        rows.append((at, match.start()))
        at = match.end()
    rows.append((at, stop))
    return rows


def _continues(previous: str, line: str) -> bool:
    """Whether ``line`` goes on with the sentence that ``previous`` left open."""
    if not previous or previous[-1] in ".!?:;":
        return False
    if previous[-1] in ",(&/" or line[0].islower():
        return True
    return len(previous) >= WRAP_COLUMN and not previous.isupper()


def _pieces(text: str, start: int, end: int) -> list[tuple[int, int]]:
    pieces = []
    at = start
    for match in _TERMINATOR.finditer(text, start, end):
        if match.end() >= end or (text[match.start()] == "." and not _ends(text, at, match, end)):
            continue
        if not any(c.isalnum() for c in text[at : match.start()]):
            continue  # "? pneumonia": a query before its object, no sentence
        pieces.append((at, match.end()))
        at = match.end()
        while at < end and text[at].isspace():
            at += 1
    if at < end:
        pieces.append((at, end))
    return pieces


def _ends(text: str, start: int, match: re.Match[str], end: int) -> bool:
    tail = _LAST_WORD.search(text, max(start, match.start() - 24), match.start())
    word = tail.group().lower().lstrip("(") if tail else ""
    if not word:
        return True
    at = match.end()
    while at < end and text[at].isspace():
        at += 1
    following = text[at] if at < end else ""
    if following.islower():
        # "p.o. twice", "approx. three": lower case goes on, unless the dot ends a plain long word ("resolved. denies pain").
        return len(word) > 5 and "." not in word and word not in _ABBREVIATIONS
    if word in _ABBREVIATIONS:
        return word in _ENDING and following.isupper()
    # "1." at the start of the sentence numbers it; a lone initial ("J. Smith", not "98.6 F.") does not end one.
    if word.isdigit() and match.start() - len(word) == start:
        return False
    before = text[start : match.start() - len(word)].rstrip()
    return not (len(word) == 1 and word.isalpha() and not before[-1:].isdigit())
