"""Names of people in the shapes that notes write them in. Titles (``Dr.``, ``Mrs``) and degrees are not part of a name."""

from __future__ import annotations

import unicodedata
from random import Random
from typing import Final

from training.phi.draw import Draw, Value
from training.phi.gazetteer import Gazetteer

Person = tuple[str, str]

#: Where names come from, and how often: British and US lists, own lists by origin, rare spellings, names that are words too.
GROUPS: Final = {"common": 0.34, "world": 0.34, "rare": 0.24, "words": 0.08}
_PREFIXES = ("O'", "Mc", "de la ", "Van ", "Al-", "Mac", "D'", "van der ", "St. ", "El-")


def without_marks(name: str) -> str:
    """The name as systems without accents write it: ``Núñez`` becomes ``Nunez``."""
    return "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))


class People(Draw):
    """Slots that give names. ``patient*`` slots name one person until ``renew`` is called."""

    def __init__(self, random: Random, gazetteer: Gazetteer) -> None:
        super().__init__(random, gazetteer)
        self._patient: Person = ("", "")
        self.renew()

    def renew(self) -> None:
        """Another patient for the ``patient*`` slots."""
        self._patient = self._person()

    def person_of(self, group: str) -> Person:
        """Given and family name from one of ``GROUPS``."""
        g, r = self._gazetteer, self._random
        if group == "common":
            return r.choice(g.first), self._pick("common_surnames") if self._chance(0.25) else r.choice(g.last)
        if group == "world" and g.origins:
            origin = g.origins[r.choice(sorted(g.origins))]
            first, last = r.choice(origin.first), r.choice(origin.last)
            return (without_marks(first), without_marks(last)) if self._chance(0.3) else (first, last)
        if group == "words":
            first = self._pick("word_first") if self._chance(0.6) else r.choice(g.first)
            return first, self._pick("word_last") if self._chance(0.6) else r.choice(g.last)
        return r.choice(g.rare_first).title(), r.choice(g.rare_last).title()

    def _person(self) -> Person:
        r = self._random
        first, last = self.person_of(r.choices(list(GROUPS), list(GROUPS.values()))[0])
        draw = r.random()
        if draw < 0.06:  # marriages and moves mix names of several origins
            last = self.person_of(r.choice(list(GROUPS)))[1]
        elif draw < 0.1:
            last = f"{last}-{self.person_of('common')[1]}"
        elif draw < 0.13 and last.isalpha():
            last = r.choice(_PREFIXES) + last
        elif draw < 0.15:
            first = f"{first}-{self.person_of('common')[0]}"
        return first, last

    def _first(self) -> str:
        return self._pick("nicknames") if self._chance(0.05) else self._person()[0]

    def _last(self) -> str:
        return self._person()[1]

    def _written(self, first: str, last: str) -> str:
        letter, other = self._letter(), self._letter()
        text = self._weighted(
            (34, f"{first} {last}"), (7, f"{first} {letter}. {last}"), (3, f"{first} {letter} {last}"), (9, f"{last}, {first}"),
            (3, f"{first} {self._first()} {last}"), (12, f"{first} {last[0]}."), (4, f"{first} {last[0]}"), (8, first), (8, last),
            (5, f"{letter}. {last}"), (3, f"{last}, {first} {letter}."), (2, f"{last}, {first} {letter}"), (2, f"{last} {first}"),
            (1, f"{first} {last} Jr."), (1, f"{first} {last} III"), (1, f"{letter}.{other}."), (1, f"{letter}. {other}. {last}"),
            (1, f"{last}, {first[0]}."), (1, f"{last},{first}"), (1, f"{last} {first[0]}"),
        )  # fmt: skip
        return text.upper() if self._chance(0.04) else text

    def name(self) -> Value:
        return self._written(*self._person()), "NAME"

    def full(self) -> Value:
        first, last = self._person()
        return f"{first} {last}", "NAME"

    def first(self) -> Value:
        return self._first(), "NAME"

    def last(self) -> Value:
        return self._last(), "NAME"

    def nick(self) -> Value:
        return self._pick("nicknames"), "NAME"

    def quoted(self) -> Value:
        first, last = self._person()
        mark = self._random.choice(('"{}"', "({})", "'{}'"))
        return f"{first} {mark.format(self._pick('nicknames'))} {last}", "NAME"

    def initials(self) -> Value:
        a, b, c = self._letter(), self._letter(), self._letter()
        return self._random.choice((f"{a}.{b}.", f"{a}{b}", f"{a}. {b}.", f"{a}{b}{c}", f"{a}.{b}.{c}.")), "NAME"

    def common_last(self) -> Value:
        return self._pick("common_surnames"), "NAME"

    def common_full(self) -> Value:
        return f"{self._first()} {self._pick('common_surnames' if self._chance(0.7) else 'word_last')}", "NAME"

    def word_full(self) -> Value:
        return " ".join(self.person_of("words")), "NAME"

    def word_last(self) -> Value:
        return self._pick("word_last"), "NAME"

    def word_first(self) -> Value:
        return self._pick("word_first"), "NAME"

    def short(self) -> Value:
        first, last = self._person()
        return f"{first} {last[0].upper()}.", "NAME"

    def listed(self) -> Value:
        first, last = self._person()
        return f"{last.upper() if self._chance(0.25) else last}, {first}", "NAME"

    def caret(self) -> Value:
        first, last = self._person()
        return self._random.choice((f"{last}^{first}^{self._letter()}", f"{last}^{first}", f"{last}^{first}^^^")).rstrip(
            "^"
        ), "NAME"

    def capital_name(self) -> Value:
        first, last = self._person()
        return f"{last}, {first} {self._letter()}".upper() if self._chance(0.6) else f"{first} {last}".upper(), "NAME"

    def doctor(self) -> Value:
        first, last = self._person()
        letter = self._letter()
        return self._weighted(
            (50, last), (30, f"{first} {last}"), (8, f"{letter}. {last}"), (8, f"{first} {last[0]}."), (4, first),
            (3, f"{first} {letter}. {last}"), (2, last.upper())
        ), "NAME"  # fmt: skip

    def patient(self) -> Value:
        first, last = self._patient
        return self._written(first, last), "NAME"

    def patient_first(self) -> Value:
        return self._patient[0], "NAME"

    def patient_last(self) -> Value:
        return self._patient[1], "NAME"

    def patient_full(self) -> Value:
        return " ".join(self._patient), "NAME"

    def patient_listed(self) -> Value:
        first, last = self._patient
        return f"{last}, {first}", "NAME"
