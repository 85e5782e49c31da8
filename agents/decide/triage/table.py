"""The triage table: rows of words that a clinician can read, and the sentences of a draft. Loaded once, refused when it is wrong."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Annotated

import msgspec

from agents.decide.form.base import Code
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

    def __add__(self, after: Sentence) -> Sentence:
        """The two read as one."""
        end = self.places[-1][1]
        return Sentence((*self.words, _BREAK, *after.words), (*self.places, (end, end), *after.places))


@dataclass(frozen=True)
class _Group:
    """Alternatives of one group; each a run of words, the last letters free where it ends in ``*``."""

    text: str

    @cached_property
    def runs(self) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(run.split()) for run in self.text.split("|"))

    @cached_property
    def _firsts(self) -> tuple[frozenset[str], tuple[str, ...]]:
        """First words of the alternatives: whole ones, and beginnings."""
        firsts = [run[0] for run in self.runs]
        return frozenset(w for w in firsts if not w.endswith("*")), tuple(w[:-1] for w in firsts if w.endswith("*"))

    def places(self, words: Sequence[str]) -> list[tuple[int, int]]:
        """(first word, last word) of every alternative that stands there."""
        whole, beginnings = self._firsts
        starts = [n for n, word in enumerate(words) if word in whole or (beginnings and word.startswith(beginnings))]
        return [
            (start, start + len(run) - 1)
            for start in starts
            for run in self.runs
            if start + len(run) <= len(words) and all(_equal(words[start + n], part) for n, part in enumerate(run))
        ]


def _equal(word: str, part: str) -> bool:
    return word.startswith(part[:-1]) if part.endswith("*") else word == part


class TriageTable:
    """The form with its words ready to be looked for."""

    def __init__(self, form: TriageForm, sha256: str) -> None:
        self.form = form
        self.version = f"triage@{form.version}#{sha256[:12]}"
        self.sha256 = sha256
        self._rows = [(level, row, [_Group(text) for text in row.all]) for level, rows in form.urgency.items() for row in rows]
        self._asks = {name: _Group("|".join(texts)) for name, texts in form.asks.items()}
        never = form.never
        self._denied = frozenset(never.denied)
        self._not_denied, self._past, self._now = (_Group("|".join(x)) for x in (never.not_denied, never.past, never.now))
        self._general, self._resolved = _Group("|".join(never.general)), _Group("|".join(never.resolved))

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
        before: Sentence | None = None
        for sentence in found:
            if self._is_silent(sentence):
                before = None
                continue
            over = bool(self._resolved.places(sentence.words))
            pair = sentence if before is None else before + sentence
            for level, row, groups in self._rows:
                if over and not row.even_passed:
                    continue
                place = self._held(sentence, row, groups) or (self._held(pair, row, groups) if row.across else None)
                if place is not None:
                    rows.append((level, row, place))
            before = None if over else sentence
        return rows

    def asks(self, sentence: Sentence) -> list[str]:
        return [name for name, group in self._asks.items() if group.places(sentence.words)]

    def _is_silent(self, sentence: Sentence) -> bool:
        """Whether the sentence speaks in general, or of the past and not of now too."""
        words = sentence.words
        return bool(self._general.places(words) or (self._past.places(words) and not self._now.places(words)))

    def _held(self, sentence: Sentence, row: Row, groups: list[_Group]) -> tuple[int, int] | None:
        """Place in the text of the row's first to last word."""
        places: list[list[tuple[int, int]]] = []
        for group in groups:
            found = group.places(sentence.words)
            if not found:
                return None
            places.append(found)
        for chosen in product(*(one[:6] for one in places)):
            first, last = min(start for start, _ in chosen), max(end for _, end in chosen)
            apart = len({start for start, _ in chosen}) == len(chosen)
            if apart and last - first < row.within + len(groups) and (row.even_denied or not self._is_denied(sentence, chosen)):
                return sentence.places[first][0], sentence.places[last][1]
        return None

    def _is_denied(self, sentence: Sentence, chosen: Sequence[tuple[int, int]]) -> bool:
        """Whether a word of denial stands among the row's words, or before them in the same clause."""
        first, last = min(start for start, _ in chosen), max(end for _, end in chosen)
        own = {
            position for start, end in (*chosen, *self._not_denied.places(sentence.words)) for position in range(start, end + 1)
        }
        if any(sentence.words[position] in self._denied for position in range(first, last) if position not in own):
            return True
        for position in range(first - 1, max(-1, first - 1 - _DENIAL_REACH), -1):
            if sentence.words[position] in _STOPS:
                return False
            if sentence.words[position] in self._denied and position not in own:
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
