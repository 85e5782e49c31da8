"""The first layer: what this very message says about people, found again in its texts.

Names in every order with initials, possessives, nicknames and one typing error; numbers with any separators; addresses; the
facilities. Names that are also words (``Long``, ``Will``) count only where they are written and placed like a name. Built per message
from its own identity, in time linear in its size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib import resources
from itertools import pairwise
from typing import NamedTuple

from rapidfuzz.distance import OSA

from agents.deidentify.text.normalise import WORD, is_plain, normalise, words_in
from agents.deidentify.text.protect import NOT_NAMES, is_eponym_here
from agents.deidentify.text.spans import DATE, EMAIL, ID, LOCATION, NAME, ORGANIZATION, PHONE, Found
from schemas.identity import MessageIdentity, Person, PersonName, PostalAddress
from schemas.scan import UNREAD

_DIGIT_RUN = re.compile(r"(?<![^\W_])\d(?:[ \t\n./()-]{0,3}\d){4,24}(?![^\W_])")
_DIGITS = re.compile(r"\d+")
#: Shorter names and numbers are found by what stands beside them, or by the other layers.
SHORTEST_NAME, SHORTEST_NUMBER = 3, 5
_FUZZY_FROM = 6
#: Words that join names and say nothing.
_PARTICLES = frozenset(
    [
        "de",
        "da",
        "dos",
        "del",
        "della",
        "di",
        "la",
        "le",
        "van",
        "von",
        "der",
        "den",
        "ter",
        "bin",
        "ibn",
        "al",
        "el",
        "st",
        "of",
        "and",
        "the",
    ]
)
_NO_VALUE = frozenset(["unknown", "none", "null", "anonymous", "test", "na", "n/a"])


@cache
def common_words() -> frozenset[str]:
    """Names that are words too."""
    return frozenset(word for line in _table("common_word_names.txt") for word in line.split())


@cache
def _nicknames() -> dict[str, tuple[str, ...]]:
    rows = (line.partition(":") for line in _table("nicknames.txt"))
    return {name.strip(): tuple(forms.split()) for name, _, forms in rows}


def _table(name: str) -> list[str]:
    text = resources.files("agents.deidentify.tables").joinpath(name).read_text("utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@lru_cache(maxsize=8192)
def _identifies(number: str) -> bool:
    """Whether a number without its separators is long enough to name somebody."""
    return len(number) >= SHORTEST_NUMBER and sum(map(str.isdigit, number)) >= 3 and bool(number.strip("0"))


class _Word(NamedTuple):
    start: int
    end: int
    key: str


class Known:
    """Finds the identifiers of one message. ``birth_year`` is given when the patient is over 89 and the year must go too."""

    __slots__ = ("_birth_year", "_deletions", "_first", "_holding", "_numbers", "keys", "names")

    def __init__(self, identity: MessageIdentity | None = None, *, birth_year: int | None = None) -> None:
        #: Folded name word -> whether it is a common word too.
        self.names: dict[str, bool] = {}
        self._first: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        #: Word of a phrase -> the phrases that hold it.
        self._holding: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        self._numbers: dict[str, str] = {}
        self._deletions: dict[str, list[str]] | None = None
        self._birth_year = str(birth_year) if birth_year else None
        #: Every word that can be, or begin, something known.
        self.keys: frozenset[str] = frozenset()
        if identity is not None:
            self._add_everybody(identity)
        for phrases in self._first.values():
            for phrase, type_ in phrases:
                for word in set(phrase) if len(phrase) > 1 else ():
                    self._holding.setdefault(word, []).append((phrase, type_))
        self.keys = frozenset((*self.names, *self._numbers, *self._first, *((self._birth_year,) if self._birth_year else ())))

    def _add_everybody(self, identity: MessageIdentity) -> None:
        for person in (*((identity.patient,) if identity.patient else ()), *identity.others):
            self._add_person(person)
        for number in (*identity.numbers, *identity.prior, *((identity.encounter,) if identity.encounter else ())):
            self._add_number(number.value, ID)
        for organization in identity.organizations:
            self._add_phrase(organization, ORGANIZATION, least_words=1)

    def __bool__(self) -> bool:
        return bool(self.names or self._first or self._numbers or self._birth_year)

    def __repr__(self) -> str:
        return "<Known>"

    def _add_person(self, person: Person) -> None:
        for name in person.names:
            self._add_name(name)
        for identifier in person.identifiers:
            self._add_number(identifier.value, ID)
        for phone in person.phones:
            digits = "".join(_DIGITS.findall(phone))
            for tail in {digits, digits[-10:], digits[-7:]}:
                if len(tail) >= 7:
                    self._numbers[tail] = PHONE
        for email in person.emails:
            self._add_phrase(email, EMAIL, least_words=2)
        for address in person.addresses:
            self._add_address(address)

    def _add_name(self, name: PersonName) -> None:
        nicknames = _nicknames()
        for position, part in enumerate((name.family, name.text, *name.given)):
            words = words_in(part)
            for word in words:
                if word in _PARTICLES or word.isdigit() or len(word) < 2 or (position == 1 and word in NOT_NAMES):
                    continue
                self.names[word] = len(word) < SHORTEST_NAME or word in common_words()
                if position > 1:
                    for form in nicknames.get(word, ()):
                        self.names.setdefault(form, form in common_words() or len(form) < 4)
            joined = "".join(words)
            if len(words) > 1 and len(joined) >= SHORTEST_NAME and position == 0:
                self.names.setdefault(joined, False)  # O'Brien -> obrien

    def _add_number(self, value: str, type_: str) -> None:
        words = words_in(value)
        joined = "".join(words)
        if not _identifies(joined):
            return
        self._numbers[joined] = type_
        stripped = joined.lstrip("0")
        if len(stripped) >= SHORTEST_NUMBER:
            self._numbers.setdefault(stripped, type_)
        if len(words) > 1:
            self._first.setdefault(words[0], []).append((words, type_))

    def _add_address(self, address: PostalAddress) -> None:
        for line in address.lines:
            self._add_phrase(line, LOCATION, least_words=2)
        self._add_phrase(address.city, LOCATION, least_words=1)
        code = "".join(words_in(address.postal_code))
        if len(code) >= 5:
            self._numbers.setdefault(code, LOCATION)
            if len(code) == 9 and code.isdigit():
                self._numbers.setdefault(code[:5], LOCATION)

    def _add_phrase(self, text: str, type_: str, *, least_words: int) -> None:
        words = words_in(text)
        if len(words) < least_words or not words or words[0] in _NO_VALUE:
            return
        if len(words) == 1 and (len(words[0]) < 4 or words[0] in common_words() or words[0].isdigit()):
            return
        self._first.setdefault(words[0], []).append((words, type_))

    def find(self, text: str, *, coded: bool = False) -> list[Found]:
        """Every known identifier in normalised text. ``coded``: the display of a code, where words are words and names rare."""
        words = [_Word(m.start(), m.end(), m[0].casefold()) for m in WORD.finditer(text)]
        return [*self._find_words(text, words, coded=coded), *self._find_runs(text)]

    def touches(self, text: str) -> bool:
        """Whether a short code or value holds one of the names that are no words, or one of the numbers."""
        return self.may_hold(text) and bool(self.find(normalise(text).text, coded=True))

    def may_hold(self, text: str) -> bool:
        """A cheap look before ``find``: ``False`` means that nothing is there."""
        if text.isalnum():
            return text.casefold() in self.keys
        if not is_plain(text) or not self.keys.isdisjoint(WORD.findall(text.casefold())):
            return True
        return bool(self._numbers) and any(self._run_type(match[0]) for match in _DIGIT_RUN.finditer(text))

    def _find_words(self, text: str, words: list[_Word], *, coded: bool) -> Iterator[Found]:
        hits: dict[int, str] = {}
        names, numbers, first_words = self.names, self._numbers, self._first
        for position, word in enumerate(words):
            key = word.key
            if key in first_words:
                for phrase, type_ in first_words[key]:
                    if len(phrase) == 1 and (coded or text[word.start].islower()):
                        continue
                    if tuple(w.key for w in words[position : position + len(phrase)]) == phrase:
                        yield self._found(text, word.start, words[position + len(phrase) - 1].end, type_)
            if key in numbers:
                yield self._found(text, word.start, word.end, numbers[key])
            elif key == self._birth_year:
                yield Found(word.start, word.end, DATE, "known", "birth_year")
            if key in names:
                if not is_eponym_here(text, word.end, key):
                    hits[position] = "name"
            elif not coded and len(key) >= _FUZZY_FROM - 1 and text[word.start].isupper() and self._near(key):
                hits[position] = "name_with_typing_error"
        for position, (first, second) in enumerate(pairwise(words)) if "\n" in text else ():
            if text[first.end : second.start] == "\n":
                whole = first.key + second.key
                if names.get(whole) is False:
                    yield Found(first.start, second.end, NAME, "known", "name_over_lines")
                for phrase, type_ in self._holding.get(whole, ()):
                    yield from self._over_lines(text, words, position, whole, phrase, type_)
        yield from self._names(text, words, hits, coded=coded)
        if UNREAD in text:
            yield from self._beside_unread(text, words)

    def _beside_unread(self, text: str, words: list[_Word]) -> Iterator[Found]:
        """In scanned pages: a word of an address or an organization whose other words nobody could read."""
        for position, word in enumerate(words):
            if (
                len(word.key) >= _FUZZY_FROM
                and word.key in self._holding
                and word.key not in common_words()
                and text[word.start].isalpha()
            ):
                near = words[max(0, position - 2) : position + 3]
                if any(text[other.start - 1 : other.end + 1] == UNREAD for other in near):
                    yield self._found(text, word.start, word.end, self._holding[word.key][0][1])

    def _over_lines(
        self, text: str, words: list[_Word], position: int, whole: str, phrase: tuple[str, ...], type_: str
    ) -> Iterator[Found]:
        """The phrase with one of its words, ``whole``, broken over two lines at ``position``."""
        before = phrase.index(whole)
        first, last = position - before, position + len(phrase) - before
        if first >= 0 and last < len(words):
            keys = [w.key for w in words[first : last + 1]]
            keys[before : before + 2] = [whole]
            if tuple(keys) == phrase:
                yield self._found(text, words[first].start, words[last].end, type_)

    def _names(self, text: str, words: list[_Word], hits: dict[int, str], *, coded: bool) -> Iterator[Found]:
        for position, rule in hits.items():
            word = words[position]
            beside = [n for n in (position - 1, position + 1) if n in hits and _adjacent(text, words, position, n)]
            # a common word needs company or a capital in the middle of a sentence; in a coded display company alone
            certain = any(self.names.get(words[n].key) is False for n in beside) or len(beside) > 0
            if self.names.get(word.key, False) and not certain and (coded or not _placed_like_a_name(text, word)):
                continue
            start, end = word.start, word.end
            before, after = position - 1, position + 1
            if not coded and before >= 0 and _is_initial(text, words[before]) and _adjacent(text, words, before, position):
                start = words[before].start
            if not coded and after < len(words) and _is_initial(text, words[after]) and _adjacent(text, words, position, after):
                end = words[after].end
            yield Found(start, end, NAME, "known", rule)

    def _near(self, word: str) -> bool:
        """Whether a long word is one typing error away from a name."""
        if word in NOT_NAMES or word in common_words():
            return False
        table = self._deletion_table()
        for form in (word, *(word[:n] + word[n + 1 :] for n in range(len(word)))) if table else ():
            for name in table.get(form, ()):
                if name[0] == word[0] and OSA.distance(name, word) == 1:
                    return True
        return False

    def _deletion_table(self) -> dict[str, list[str]]:
        """Symmetric deletion index (Garbe): two words within one edit share a form with at most one letter deleted."""
        if self._deletions is None:
            self._deletions = {}
            for name, common in self.names.items():
                if len(name) >= _FUZZY_FROM and not common:
                    for form in {name, *(name[:n] + name[n + 1 :] for n in range(len(name)))}:
                        self._deletions.setdefault(form, []).append(name)
        return self._deletions

    def _find_runs(self, text: str) -> Iterator[Found]:
        """Numbers whatever separates their digits."""
        for match in _DIGIT_RUN.finditer(text) if self._numbers else ():
            if type_ := self._run_type(match[0]):
                yield self._found(text, match.start(), match.end(), type_)

    def _run_type(self, run: str) -> str | None:
        """Type of the number that a run of digits is: as a whole, behind a country code, or before four more digits."""
        digits = "".join(_DIGITS.findall(run))
        return self._numbers.get(digits) or self._numbers.get(digits[-10:]) or self._numbers.get(digits[:-4])

    @staticmethod
    def _found(text: str, start: int, end: int, type_: str) -> Found:
        return Found(start, end, type_, "known", type_.lower())


def words_of(text: str) -> frozenset[str] | None:
    """What ``Known.keys`` must be disjoint from, so that nothing known can be in ``text``; ``None`` when only a look tells."""
    if not is_plain(text):
        return None
    runs = ["".join(_DIGITS.findall(match[0])) for match in _DIGIT_RUN.finditer(text)]
    tails = [part for digits in runs for part in (digits, digits[-10:], digits[:-4])]
    return frozenset((*WORD.findall(text.casefold()), *tails))


def _adjacent(text: str, words: list[_Word], one: int, other: int) -> bool:
    first, second = words[min(one, other)], words[max(one, other)]
    gap = text[first.end : second.start]
    return len(gap) <= 2 and gap.strip() in ("", ".", ",", "-", "'", "’", "^") and "\n\n" not in gap


def _is_initial(text: str, word: _Word) -> bool:
    return word.end - word.start == 1 and text[word.start].isupper() and text[word.start].isalpha()


def _placed_like_a_name(text: str, word: _Word) -> bool:
    """``Long`` in the middle of a sentence of small letters; neither at its beginning nor in a title."""
    if (
        len(word.key) < SHORTEST_NAME
        or not text[word.start].isupper()
        or text[word.start + 1 : word.end].upper() == text[word.start + 1 : word.end]
    ):
        return False
    before = text[max(0, word.start - 40) : word.start].rstrip()
    if not before or before[-1] in ".!?:;\n•*-)]|" or "\n" in text[len(before) : word.start]:
        return False
    previous = WORD.findall(before)
    return bool(previous) and previous[-1].islower()
