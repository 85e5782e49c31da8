"""The gate: no identifier of the message's own identity may stand in the finished output. Fails closed.

It looks at decoded leaves of the finished message, attachments included, whatever the rules before it meant to do: whole names, numbers
with any separators, phrases (addresses, mail), the date of birth in full. Names that are words too count only beside another name
of the message; eponyms (``Parkinson's disease``) only where they are not one. What was found is never repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from agents.deidentify.text.known import SHORTEST_NAME, SHORTEST_NUMBER, common_words
from agents.deidentify.text.normalise import WORD, normalise, words_in
from agents.deidentify.text.protect import NOT_NAMES, is_eponym_here
from schemas.errors import LeakDetected
from schemas.identity import MessageIdentity, Person

_DIGITS = re.compile(r"\d+")
_RUN = re.compile(r"(?<![^\W_])\d(?:[ \t\n./()-]{0,3}\d){6,24}(?![^\W_])")
#: Without what ``_RUN`` allows between digits: a run that is a number is within this text, whatever else is.
_TOGETHER = dict.fromkeys(map(ord, " \t\n./()-"))
_DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})")
#: Two leaves never form one phrase.
_BETWEEN = " \x1f "
#: Every ASCII character that belongs to no word, as a space: the words of ``WORD`` at a third of its cost.
_SPACES = {code: " " for code in range(128) if not chr(code).isalnum()}


class LeakCheck:
    """Made from one message's identity; ``check`` costs one pass over the output when nothing is found."""

    __slots__ = ("_names", "_numbers", "_pairs", "_phrases")

    def __init__(self, identity: MessageIdentity) -> None:
        self._names: set[str] = set()
        self._numbers: set[str] = set()
        self._phrases: set[str] = set()
        self._pairs: set[str] = set()
        for person in (*((identity.patient,) if identity.patient else ()), *identity.others):
            self._person(person)
        for number in (*identity.numbers, *identity.prior, *((identity.encounter,) if identity.encounter else ())):
            self._number(number.value)

    def __repr__(self) -> str:
        return "<LeakCheck>"

    def _person(self, person: Person) -> None:
        for name in person.names:
            parts = [words_in(part) for part in (name.family, *name.given)]
            everything = tuple(word for part in parts for word in part)
            for word in everything:
                if len(word) >= SHORTEST_NAME and not word.isdigit() and word not in common_words() and word not in NOT_NAMES:
                    self._names.add(word)
            family, given = (everything[: len(parts[0])], everything[len(parts[0]) :])
            for first in given:
                for last in family:
                    if len(first) + len(last) > 4 and not {first, last} <= NOT_NAMES:
                        self._pairs.update((f" {first} {last} ", f" {last} {first} "))
        for identifier in person.identifiers:
            self._number(identifier.value)
        for phone in person.phones:
            digits = "".join(_DIGITS.findall(phone))
            self._numbers.update(tail for tail in (digits, digits[-10:], digits[-7:]) if len(tail) >= 7)
        for text in (*person.emails, *(line for address in person.addresses for line in address.lines)):
            words = words_in(text)
            if len(words) > 1 and sum(map(len, words)) >= 6:
                self._phrases.add(f" {' '.join(words)} ")
        if match := _DATE.match(person.birth_date):
            year, month, day = match.groups()
            self._numbers.add(year + month + day)
            for m, d in ((month, day), (month.lstrip("0"), day.lstrip("0"))):
                self._phrases.update((f" {year} {m} {d} ", f" {m} {d} {year} ", f" {d} {m} {year} "))

    def _number(self, value: str) -> None:
        words = words_in(value)
        joined = "".join(words)
        if len(joined) < SHORTEST_NUMBER or sum(map(str.isdigit, joined)) < 3 or not joined.strip("0"):
            return
        self._numbers.add(joined)
        if len(words) > 1:
            self._phrases.add(f" {' '.join(words)} ")

    def check(self, leaves: Sequence[str]) -> None:
        """Raises LeakDetected naming the kind of identifier that survived."""
        plain = list(dict.fromkeys(leaves))
        folded = _BETWEEN.join(plain)
        if not folded.isascii():
            plain = [leaf if leaf.isascii() else normalise(leaf).text for leaf in plain]
            folded = _BETWEEN.join(plain)
        folded = folded.casefold()
        words = folded.translate(_SPACES).split() if folded.isascii() else WORD.findall(folded)
        present = set(words)
        if not present.isdisjoint(self._numbers):
            raise LeakDetected(path="number")
        if any(not self._is_eponym(name, plain) for name in present & self._names):
            raise LeakDetected(path="name")
        joined = f" {' '.join(words)} " if self._phrases or self._pairs else ""
        for phrases, kind in ((self._phrases, "phrase"), (self._pairs, "name")):
            for phrase in phrases:
                if phrase in joined and any(phrase in f" {' '.join(WORD.findall(leaf.casefold()))} " for leaf in plain):
                    raise LeakDetected(path=kind)
        # whatever separates the digits; what separates leaves is no such character
        together = folded.translate(_TOGETHER)
        if any(number in together for number in self._numbers if number.isdigit()) and any(
            "".join(_DIGITS.findall(run)) in self._numbers for run in _RUN.findall(folded)
        ):
            raise LeakDetected(path="number")

    @staticmethod
    def _is_eponym(name: str, leaves: Iterable[str]) -> bool:
        """Whether every occurrence stands for a disease, sign or device."""
        for leaf in leaves:
            if name in leaf.casefold():
                for match in WORD.finditer(leaf):
                    if match[0].casefold() == name and not is_eponym_here(leaf, match.end(), name):
                        return False
        return True
