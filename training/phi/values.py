"""Surrogate values in the many shapes that notes write them in; each comes with its label, ``None`` for what is no identifier.

What counts follows the Safe Harbor list, 45 CFR 164.514(b)(2): all elements of dates but the year, ages over 89, places
smaller than a state (states are marked too), and so on. Titles (``Dr.``, ``Mrs``) and degrees are not part of a name.
"""

from __future__ import annotations

import datetime as dt
from random import Random

from training.phi.gazetteer import Gazetteer

Value = tuple[str, str | None]

_LETTERS = "ABCDEFGHIJKLMNOPRSTVW"


def _ordinal(day: int) -> str:
    return f"{day}{'th' if 10 <= day % 100 <= 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"


class Values:
    """Draws values; the same random generator state gives the same values. Every public method is a template slot."""

    def __init__(self, random: Random, gazetteer: Gazetteer) -> None:
        self._random = random
        self._gazetteer = gazetteer
        self._lists = gazetteer.lists

    def of(self, slot: str) -> Value:
        """A value for a template slot: the slot's name is that of a method below."""
        value: Value = getattr(self, slot)()
        return value

    def _pattern(self, kind: str) -> str:
        rows = [row.partition(" ") for row in self._lists["patterns"][kind]]
        shape = self._random.choices([shape for _, _, shape in rows], [int(weight) for weight, _, _ in rows])[0]
        draw = self._random.choice
        return "".join(draw("0123456789") if c == "#" else draw(_LETTERS) if c == "@" else c for c in shape)

    # names
    def _first(self) -> str:
        g, r = self._gazetteer, self._random
        return r.choice(g.first) if r.random() < 0.6 else r.choice(g.rare_first).title()

    def _last(self) -> str:
        g, r = self._gazetteer, self._random
        draw = r.random()
        name = r.choice(self._lists["common_surnames"] if draw < 0.1 else g.last) if draw < 0.5 else r.choice(g.rare_last).title()
        draw = r.random()
        if draw < 0.05:
            return f"{name}-{r.choice(g.last)}"
        return r.choice(("O'", "Mc", "de la ", "Van ", "Al-", "Mac", "D'")) + name if draw < 0.09 else name

    def _letter(self) -> str:
        return self._random.choice(_LETTERS)

    def _weighted(self, *choices: tuple[int, str]) -> str:
        return self._random.choices([text for _, text in choices], [weight for weight, _ in choices])[0]

    def name(self) -> Value:
        first, last, letter = self._first(), self._last(), self._letter()
        return self._weighted(
            (34, f"{first} {last}"), (7, f"{first} {letter}. {last}"), (9, f"{last}, {first}"), (3, f"{first} {self._first()} {last}"),
            (12, f"{first} {letter}."), (8, first), (8, last), (5, f"{letter}. {last}"), (3, f"{last}, {first} {letter}."),
            (2, f"{last} {first}"), (1, f"{first} {last} Jr."), (1, f"{letter}.{self._letter()}."),
        ), "NAME"  # fmt: skip

    def full(self) -> Value:
        return f"{self._first()} {self._last()}", "NAME"

    def first(self) -> Value:
        return self._first(), "NAME"

    def last(self) -> Value:
        return self._last(), "NAME"

    def common_last(self) -> Value:
        return self._random.choice(self._lists["common_surnames"]), "NAME"

    def short(self) -> Value:
        return f"{self._first()} {self._letter()}.", "NAME"

    def listed(self) -> Value:
        return f"{self._last()}, {self._first()}", "NAME"

    def caret(self) -> Value:
        return f"{self._last()}^{self._first()}^{self._letter()}", "NAME"

    def doctor(self) -> Value:
        first, last, letter = self._first(), self._last(), self._letter()
        return self._weighted(
            (50, last), (30, f"{first} {last}"), (8, f"{letter}. {last}"), (8, f"{first} {letter}."), (4, first)
        ), "NAME"

    # dates and ages
    def _day(self) -> dt.datetime:
        r = self._random
        return dt.datetime(r.randint(1935, 2027), r.randint(1, 12), r.randint(1, 28), r.randint(0, 23), r.randint(0, 59))

    def date(self) -> Value:
        day, r = self._day(), self._random
        if r.random() < 0.15:
            month, number = day.strftime(r.choice(("%B", "%b"))), _ordinal(day.day)
            forms = ("{m} {n}, {y}", "{n} of {m} {y}", "{m} {n}", "the {n} of {m}", "{n} {m} {y}")
            return r.choice(forms).format(m=month, n=number, y=day.year), "DATE"
        return day.strftime(r.choice(self._lists["date_formats"])), "DATE"

    def full_date(self) -> Value:
        return self._day().strftime(self._random.choice(self._lists["date_formats"][:12])), "DATE"

    def time(self) -> Value:
        return self._day().strftime(self._random.choice(("%H:%M", "%I:%M %p", "%H%M", "%H:%M:%S"))), None

    def year(self) -> Value:
        return str(self._random.randint(1950, 2027)), None

    def age(self) -> Value:
        return str(self._random.randint(1, 89)), None

    def old_age(self) -> Value:
        return str(self._random.randint(90, 105)), "AGE"

    # numbers that point at one person
    def mrn(self) -> Value:
        return self._pattern("mrn"), "ID"

    def ssn(self) -> Value:
        return self._pattern("ssn"), "ID"

    def plan(self) -> Value:
        return self._pattern("plan"), "ID"

    def licence(self) -> Value:
        return self._pattern("licence"), "ID"

    def card(self) -> Value:
        return self._pattern("card"), "ID"

    def ip(self) -> Value:
        return ".".join(str(self._random.randint(1, 254)) for _ in range(4)), "ID"

    # ways to reach somebody
    def phone(self) -> Value:
        return self._pattern("phone"), "PHONE"

    def _account(self) -> tuple[str, str]:
        return self._first().lower(), self._last().lower().replace(" ", "").replace("'", "")

    def email(self) -> Value:
        first, last = self._account()
        number = self._random.randint(10, 99)
        forms = (f"{first}.{last}", f"{first[0]}{last}", f"{first}{number}", f"{last}_{first}", f"{first}.{last[0]}")
        host = self._random.choice(self._lists["mail_hosts"])
        if self._random.random() < 0.4:
            host = self._account()[1] + self._random.choice(self._lists["mail_ends"])
        account = self._random.choice(forms)
        if self._random.random() < 0.2:
            account = first.title() + last.title()
        return f"{account}@{host}", "EMAIL"

    def url(self) -> Value:
        _, last = self._account()
        number = self._random.randint(1000, 999999)
        forms = (f"https://portal.{last}clinic.com/patients/{number}", f"www.{last}family.com", f"http://www.{last}.org",
                 f"https://www.facebook.com/{last}{number}", f"www.myhealth-{last}.com", f"{last}medical.org/{number}",
                 f"http://{last.title()}{self._account()[1].title()}{self._random.choice(self._lists['mail_ends'])}/")  # fmt: skip
        return self._random.choice(forms), "URL"

    # places and bodies
    def _place(self) -> tuple[str, str, str, str]:
        return self._random.choice(self._gazetteer.places)

    def city(self) -> Value:
        return (
            self._place()[0] if self._random.random() < 0.85 else self._random.choice(self._lists["world_places"])
        ), "LOCATION"

    def big_city(self) -> Value:
        return self._random.choice(self._lists["big_cities"]), "LOCATION"

    def country(self) -> Value:
        return self._random.choice(self._lists["countries"]), "LOCATION"

    def state(self) -> Value:
        return self._place()[1], "LOCATION"

    def city_state(self) -> Value:
        city, state, short, _ = self._place()
        return self._random.choice((f"{city}, {short}", f"{city}, {state}", f"{city} {short}")), "LOCATION"

    def street(self) -> Value:
        r, lists = self._random, self._lists
        number = r.randint(1, 9999)
        name = r.choice(lists["streets"]) if r.random() < 0.5 else self._last()
        side = r.choice(("", "", "", r.choice(("N ", "S ", "E ", "W ", "North ", "SW "))))
        whole = f"{number} {side}{name} {r.choice(lists['street_types'])}{self._pattern('unit')}"
        return (f"P.O. Box {number}" if r.random() < 0.1 else whole), "LOCATION"

    def zip(self) -> Value:
        code = self._place()[3]
        return self._weighted((5, code), (1, f"{code}-{self._random.randint(1000, 9999)}"), (1, self._pattern("zip"))), "LOCATION"

    def address(self) -> Value:
        city, _, short, code = self._place()
        return f"{self.street()[0]}{self._random.choice((', ', chr(10), ' '))}{city}, {short} {code}", "LOCATION"

    def room(self) -> Value:
        return self._random.choice(
            (f"{self._random.randint(1, 12)}{self._letter()}", f"{self._random.randint(100, 999)}", "ICU 4")
        ), None

    def hospital(self) -> Value:
        r, lists = self._random, self._lists
        kind = r.choice(lists["hospital_types"])
        if r.random() < 0.1:
            kind = kind.lower()
        name = self._weighted(
            (35, r.choice(self._gazetteer.hospitals)), (20, f"{r.choice(lists['hospital_stems'])} {kind}"), (15, f"{self._place()[0]} {kind}"),
            (10, f"{self._last()} {kind}"), (3, f"St. {self._first()}'s"), (2, f"Mt. {self._first()}"), (3, r.choice(lists["hospital_stems"])),
            (2, f"{self._last()} {r.choice(('Ridge', 'Valley', 'Creek', 'Crest', 'Park', 'Grove'))}"),
            (5, "".join(self._letter() for _ in range(r.randint(3, 5)))), (5, f"University of {self._place()[1]} {kind}"),
        )  # fmt: skip
        return name, "ORGANIZATION"

    def company(self) -> Value:
        r = self._random
        stem = self._last() if r.random() < 0.6 else self._place()[0]
        return (
            f"{stem} & {self._last()}" if r.random() < 0.3 else f"{stem} {r.choice(self._lists['company_types'])}"
        ), "ORGANIZATION"
