"""The triage table: rows of words that a clinician can read, and the sentences of a draft. Loaded once, refused when it is wrong."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated

import msgspec

from agents.decide.form.base import Code
from agents.decide.triage.phrases import Phrases, Place
from schemas.errors import ConfigurationError
from schemas.flags import Urgency

SHIPPED = Path(__file__).with_name("words.yaml")
_TOKEN = re.compile(r"[a-z0-9][a-z0-9'.-]*[a-z0-9]|[a-z0-9]|,")
_SENTENCE = re.compile(r"[^.!?;\n]+(?:\.(?=\d)[^.!?;\n]+)*")
#: A word of denial reaches so many words forward, to the next comma or "but".
_DENIAL_REACH = 6
_STOPS = frozenset({",", "but", "."})
#: Between two sentences that are read as one; no word, so that no group finds it.
_BREAK = "."
#: Of one group in one sentence, the first so many are tried.
_MOST_PLACES = 6


class _Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Row(_Form, frozen=True, kw_only=True):
    """Every group of ``all`` has a word or phrase in one sentence; ``within``: words from the first to the last, at most.

    ``across``: two sentences that follow each other are as good as one. ``even_passed``: a word of ``never.resolved`` changes nothing.
    """

    name: str
    all: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    within: Annotated[int, msgspec.Meta(gt=0)] = 30
    even_denied: bool = False
    even_passed: bool = False
    across: bool = False


class Never(_Form, frozen=True, kw_only=True):
    """``not_denied``: phrases whose word of denial denies nothing else; ``now``: beside one of these, a word of ``past`` says nothing."""

    denied: tuple[str, ...]
    not_denied: tuple[str, ...] = ()
    past: tuple[str, ...]
    now: tuple[str, ...] = ()
    general: tuple[str, ...]
    resolved: tuple[str, ...]


class DraftForm(_Form, frozen=True, kw_only=True):
    opening: str
    urgency: dict[Urgency, str]
    asks: dict[str, str]
    medication: str
    result: str


class TriageForm(_Form, frozen=True, kw_only=True):
    api_version: str
    version: str
    documents: tuple[Code, ...]
    never: Never
    urgency: dict[Urgency, tuple[Row, ...]]
    asks: dict[str, tuple[str, ...]]
    draft: DraftForm


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words of one sentence in small letters, each with its place in the text."""

    words: tuple[str, ...]
    places: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class _Read:
    """A sentence, or two that follow each other, with the places of all phrases in it."""

    sentence: Sentence
    places: dict[str, list[Place]]

    def __add__(self, after: _Read) -> _Read:
        end, shift = self.sentence.places[-1][1], len(self.sentence.words) + 1
        words = (*self.sentence.words, _BREAK, *after.sentence.words)
        places = {group: list(found) for group, found in self.places.items()}
        for group, found in after.places.items():
            places.setdefault(group, []).extend((start + shift, last + shift) for start, last in found)
        return _Read(Sentence(words, (*self.sentence.places, (end, end), *after.sentence.places)), places)


class TriageTable:
    """The form with its words ready to be looked for."""

    def __init__(self, form: TriageForm, sha256: str) -> None:
        self.form = form
        self.version = f"triage@{form.version}#{sha256[:12]}"
        self.sha256 = sha256
        self._rows = [(level, row) for level, rows in form.urgency.items() for row in rows]
        self._asks = {name: "|".join(texts) for name, texts in form.asks.items()}
        never = form.never
        self._denied = frozenset(never.denied)
        self._not_denied, self._past, self._now = "|".join(never.not_denied), "|".join(never.past), "|".join(never.now)
        self._general, self._resolved = "|".join(never.general), "|".join(never.resolved)
        silent = (self._not_denied, self._past, self._now, self._general, self._resolved)
        groups = (group for _, row in self._rows for group in row.all)
        self._phrases = Phrases((*groups, *silent))
        self._asked = Phrases(self._asks.values())

    @classmethod
    def load(cls, path: Path | None = None) -> TriageTable:
        """Raises ConfigurationError naming file and path of what is wrong."""
        source = path or SHIPPED
        try:
            data = source.read_bytes()
            form = msgspec.yaml.decode(data, type=TriageForm)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            detail = str(error) if isinstance(error, msgspec.ValidationError) else "cannot be read"
            raise ConfigurationError(path=source.name, detail=detail) from None
        if form.api_version != "triage/v1":
            raise ConfigurationError(path=source.name, detail="api_version is not triage/v1")
        return cls(form, hashlib.sha256(data).hexdigest())

    def rows(self, found: Sequence[Sentence]) -> list[tuple[Urgency, Row, tuple[int, int]]]:
        """Rows that hold in a text of these sentences, each once for a sentence or pair of them, with the place of their words in the text."""
        rows: list[tuple[Urgency, Row, tuple[int, int]]] = []
        before: _Read | None = None
        for sentence in found:
            read = _Read(sentence, self._phrases.places(sentence.words))
            if self._is_silent(read):
                before = None
                continue
            over = self._resolved in read.places
            pair = read if before is None else before + read
            for level, row in self._rows:
                if not (over and not row.even_passed):
                    place = self._held(read, row) or (self._held(pair, row) if row.across and before is not None else None)
                    if place is not None:
                        rows.append((level, row, place))
            before = None if over else read
        return rows

    def asks(self, sentence: Sentence) -> list[str]:
        found = self._asked.places(sentence.words)
        return [name for name, group in self._asks.items() if group in found]

    def _is_silent(self, read: _Read) -> bool:
        """Whether the sentence speaks in general, or of the past and not of now too."""
        return self._general in read.places or (self._past in read.places and self._now not in read.places)

    def _held(self, read: _Read, row: Row) -> tuple[int, int] | None:
        """Place in the text of the row's first to last word."""
        if any(group not in read.places for group in row.all):
            return None
        for chosen in product(*(read.places[group][:_MOST_PLACES] for group in row.all)):
            first, last = min(start for start, _ in chosen), max(end for _, end in chosen)
            apart = len({start for start, _ in chosen}) == len(chosen)
            if apart and last - first < row.within + len(row.all) and (row.even_denied or not self._is_denied(read, chosen)):
                return read.sentence.places[first][0], read.sentence.places[last][1]
        return None

    def _is_denied(self, read: _Read, chosen: Sequence[Place]) -> bool:
        """Whether a word of denial stands among the row's words, or before them in the same clause."""
        words = read.sentence.words
        first, last = min(start for start, _ in chosen), max(end for _, end in chosen)
        reach = first - 1 - _DENIAL_REACH
        spared = (place for place in read.places.get(self._not_denied, ()) if reach <= place[1] and place[0] <= last)
        own = {position for start, end in (*chosen, *spared) for position in range(start, end + 1)}
        if any(words[position] in self._denied for position in range(first, last) if position not in own):
            return True
        for position in range(first - 1, max(-1, reach), -1):
            if words[position] in _STOPS:
                return False
            if words[position] in self._denied and position not in own:
                return True
        return False


def sentences(text: str) -> list[Sentence]:
    """Sentences by their stops and line ends, words with apostrophes of any writing."""
    folded = text.lower().replace("\u2019", "'").replace("\u2018", "'")
    if len(folded) != len(text):  # a letter whose small form is longer would move every place behind it
        folded = "".join(low if len(low := c.lower()) == 1 else c for c in text)
    found = []
    for match in _SENTENCE.finditer(folded):
        words = list(_TOKEN.finditer(folded, match.start(), match.end()))
        if words:
            found.append(Sentence(tuple(word[0] for word in words), tuple(word.span() for word in words)))
    return found
