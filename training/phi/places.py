"""Places and bodies: geography below a state (states and countries are marked too), facilities, employers, schools, companies.

A facility that is called by its town is one identifier (``the Ames clinic``), and so is a facility together with its place
(``Mercy Hospital in Ames, IA``): either half tells the other.
"""

from __future__ import annotations

from training.phi.draw import Value
from training.phi.people import People, without_marks


class Places(People):
    """Slots that give places and bodies."""

    def _place(self) -> tuple[str, str, str, str, str]:
        return self._random.choice(self._gazetteer.places)

    def _world_town(self) -> str:
        town = self._pick("world_places")
        return without_marks(town) if self._chance(0.2) else town

    def _town(self) -> str:
        draw = self._random.random()
        town = self._place()[0] if draw < 0.6 else self._pick("big_cities") if draw < 0.78 else self._world_town()
        return town.upper() if self._chance(0.06) else town

    def city(self) -> Value:
        if self._chance(0.05):
            return f"{self._pick('places_parts')} {self._town()}", "LOCATION"
        return self._town(), "LOCATION"

    def world_city(self) -> Value:
        town = self._world_town()
        return (town.upper() if self._chance(0.2) else town), "LOCATION"

    def big_city(self) -> Value:
        return self._pick("big_cities"), "LOCATION"

    def country(self) -> Value:
        return self._pick("countries"), "LOCATION"

    def region(self) -> Value:
        if self._chance(0.5):
            return self._pick("regions"), "LOCATION"
        return f"{self._pick('sides')} {self._pick('countries')}", "LOCATION"

    def article_place(self) -> Value:
        return self._pick("article_places"), "LOCATION"

    def state(self) -> Value:
        return self._place()[1], "LOCATION"

    def city_state(self) -> Value:
        city, state, short, _, _ = self._place()
        if self._chance(0.12):
            return f"{self._world_town()}, {self._pick('countries')}", "LOCATION"
        return self._random.choice((f"{city}, {short}", f"{city}, {state}", f"{city} {short}")), "LOCATION"

    def county(self) -> Value:
        county = self._place()[4]
        kind = self._random.choice(("County", "County", "County", "Parish", "Borough", "Township"))
        return self._random.choice((f"{county} {kind}", f"{county} {kind}", f"{county} Co.")), "LOCATION"

    def landmark(self) -> Value:
        stem = self._last() if self._chance(0.5) else self._place()[0]
        return self._random.choice(
            (f"{stem} {self._pick('landmark_types')}", f"Lake {stem}", f"Mount {stem}", f"Fort {stem}", f"Camp {stem}",
             f"Interstate {self._random.randint(4, 99)}")
        ), "LOCATION"  # fmt: skip

    def coordinates(self) -> Value:
        r = self._random
        north, west = r.uniform(25, 49), r.uniform(68, 124)
        minutes = [f"{r.randint(0, 59)}'{r.randint(0, 59)}\"" for _ in "ab"]
        return r.choice(
            (
                f"{north:.4f}, -{west:.4f}",
                f"{north:.5f} N, {west:.5f} W",
                f"{int(north)}°{minutes[0]}N {int(west)}°{minutes[1]}W",
            )
        ), "LOCATION"

    def _street_name(self) -> str:
        draw = self._random.random()
        name = self._pick("streets") if draw < 0.45 else self._last() if draw < 0.85 else self._place()[0]
        return f"{name} {self._pick('street_parts')}" if self._chance(0.1) else name

    def _plain_street(self) -> str:
        side = self._random.choice(("", "", "", "", "N ", "S ", "E ", "W ", "North ", "SW ", "N. "))
        kind = self._pick("street_types") if self._chance(0.8) else self._pick("street_types_more")
        return f"{side}{self._street_name()} {kind}"

    def street(self) -> Value:
        r = self._random
        number = r.randint(1, 9999)
        return self._weighted(
            (82, f"{number} {self._plain_street()}{self._pattern('unit')}"), (8, f"P.O. Box {number}"), (2, f"PO Box {number}"),
            (2, f"RR {r.randint(1, 9)} Box {number}"), (2, f"{number} County Road {r.randint(1, 999)}"),
            (1, f"{number} State Route {r.randint(1, 99)}"),
            (2, f"{number}{self._letter()} {self._plain_street()}"), (1, f"{self._plain_street()} {number}"),
        ), "LOCATION"  # fmt: skip

    def street_only(self) -> Value:
        return self._plain_street(), "LOCATION"

    def corner(self) -> Value:
        joint = self._random.choice((" and ", " and ", " and ", " & ", " at "))
        first, second = (
            self._weighted(
                (5, self._plain_street()), (3, self._street_name()), (2, self.world_street()[0]), (1, self.street()[0])
            )
            for _ in "ab"
        )
        return f"{first}{joint}{second}", "LOCATION"

    def corner_of(self) -> Value:
        """The whole phrase is the address."""
        return (
            f"{self._random.choice(('the corner of', 'the corner of', 'corner of', 'the intersection of'))} {self.corner()[0]}",
            "LOCATION",
        )

    def zip(self) -> Value:
        code = self._place()[3]
        return self._weighted((5, code), (1, f"{code}-{self._random.randint(1000, 9999)}"), (1, self._pattern("zip"))), "LOCATION"

    def city_line(self) -> Value:
        """Town, state and ZIP code as the last line of an address."""
        city, state, short, code, _ = self._place()
        return self._random.choice(
            (f"{city}, {short} {code}", f"{city}, {short} {code}", f"{city} {short} {code}", f"{city}, {state} {code}")
        ), "LOCATION"

    def address(self) -> Value:
        if self._chance(0.12):
            return self.world_address()
        if self._chance(0.06):
            return self.military_address()
        city, state, short, code, _ = self._place()
        joint = self._random.choice((", ", ", ", "\n", " ", ",\n"))
        end = self._weighted(
            (7, f"{city}, {short} {code}"),
            (1, f"{city}, {state} {code}"),
            (1, f"{city} {short} {code}"),
            (1, f"{city}, {short}"),
            (1, f"{city}\n{short} {code}"),
        )
        text = f"{self.street()[0]}{joint}{end}"
        return (text.upper() if self._chance(0.05) else text), "LOCATION"

    def military_address(self) -> Value:
        r = self._random
        joint = r.choice((", ", " "))
        box = f"{r.choice(('PSC', 'CMR', 'Unit'))} {r.randint(1, 9999)}{joint}Box {r.randint(1, 9999)}"
        ship = f"{r.choice(('USS', 'USCGC', 'USNS'))} {self._last()}"
        post = f"{r.choice(('APO', 'FPO', 'DPO'))} {r.choice(('AE', 'AP', 'AA'))} {r.randint(9000, 99999):05}"
        return f"{box if self._chance(0.75) else ship}{r.choice((', ', chr(10), ' '))}{post}", "LOCATION"

    def world_street(self) -> Value:
        name = self._last() if self._chance(0.7) else self._pick("streets")
        return self._pick("world_streets").format(n=name, h=self._random.randint(1, 240)), "LOCATION"

    def world_address(self) -> Value:
        r = self._random
        street = self.world_street()[0] if self._chance(0.6) else self.street()[0]
        if self._chance(0.3):  # forms put the number of the house in front whatever the country
            street = f"{r.randint(1, 9999)} {street}"
        joint = r.choice((", ", "\n", " ", ",\n", "\n ", "\n, ", " / "))
        if self._chance(0.05):
            return self.military_address()
        town, code = self.world_city()[0], self._pattern("zip")
        parts = r.choice(
            (
                [street, f"{code} {town}"],
                [street, town, code],
                [street, f"{town} {code}", self._pick("countries")],
                [street, town, f"{self._pick('countries')} {code}"],
            )
        )
        if self._chance(0.3):
            parts.insert(
                1,
                r.choice(
                    (
                        f"Apt. {r.randint(1, 900)}",
                        f"Suite {r.randint(1, 900)}",
                        f"Flat {r.randint(1, 60)}",
                        f"Floor {r.randint(1, 30)}",
                    )
                ),
            )
        return joint.join(parts), "LOCATION"

    # bodies
    def hospital(self) -> Value:
        kind = self._pick("hospital_types")
        if self._chance(0.1):
            kind = kind.lower()
        stem, town = self._pick("hospital_stems"), self._place()[0]
        letters = "".join(self._letter() for _ in range(self._random.randint(1, 3)))
        name = self._weighted(
            (35, self._random.choice(self._gazetteer.hospitals)), (18, f"{stem} {kind}"), (13, f"{town} {kind}"),
            (9, f"{self._last()} {kind}"),
            (3, f"St. {self._first()}'s"), (2, f"St. {self._first()} {kind}"), (2, f"Mt. {self._first()}"), (3, stem),
            (3, f"{stem} {self._pick('facility_words')}"),
            (2, f"{self._last()} {self._random.choice(('Ridge', 'Valley', 'Creek', 'Crest', 'Park', 'Grove'))}"),
            (2, f"{self._first()} {self._last()} {kind}"),
            (4, letters + self._pick("hospital_letters")), (4, f"University of {self._place()[1]} {kind}"),
            (2, f"{self._last()} {self._last()}"), (2, f"{self._last()}-{self._last()} {kind}"),
            (2, f"{self._place()[1]} {kind}"), (2, f"{self._place()[4]} County {kind}"), (1, f"{kind} of {town}"),
        )  # fmt: skip
        return (name.upper() if self._chance(0.03) else name), "ORGANIZATION"

    def hospital_place(self) -> Value:
        """A facility with its place behind it."""
        joint = self._random.choice((" in ", " in ", " of ", ", ", " at ", " - "))
        return f"{self.hospital()[0]}{joint}{self.city_state()[0] if self._chance(0.5) else self._town()}", "ORGANIZATION"

    def city_clinic(self) -> Value:
        """A facility that its town stands for."""
        return (
            f"{self._town() if self._chance(0.88) else self._pick('places_parts')} {self._pick('facility_words')}",
            "ORGANIZATION",
        )

    def practice(self) -> Value:
        """A practice called by its doctor; the title stays outside."""
        return (
            f"{self._last()}{self._random.choice((chr(39) + 's', chr(39) + 's', '’s', ''))} {self._pick('practice_words')}",
            "ORGANIZATION",
        )

    def _coined(self) -> str:
        name = self._pick("coined_starts") + self._pick("coined_ends")
        return name if self._chance(0.8) else self._pick("coined_starts") + self._pick("coined_ends").title()

    def company(self) -> Value:
        a, b, c = (self._last() for _ in "abc")
        end, word = self._pick("company_ends"), self._pick("brand_words")
        end = end if end.startswith(",") else f" {end}"
        letters = "".join(self._letter() for _ in range(self._random.randint(2, 4)))
        name = self._weighted(
            (10, f"{a} & {b}"), (12, f"{a}, {b} and {c}"), (3, f"{a}, {b} and {c} {self._pick('organization_types')}"),
            (3, f"{a}, {b} & {c}"), (6, f"{a}-{b}"), (5, f"{a} and {b}"), (4, f"{a} and Sons"), (2, f"{a} Brothers"),
            (14, a + end),
            (5, self._place()[0] + end), (12, self._coined()), (7, self._coined() + end),
            (9, f"{word} {self._pick('brand_words')}"), (6, f"{word} {self._pick('brand_words')}" + end),
            (3, f"{word} {self._pick('brand_words')} {self._pick('brand_words')}"),
            (4, f"{self._coined()} {self._pick('organization_types')}"), (2, letters + end), (2, letters),
            (1, f"{self._first()}'s"),
        )  # fmt: skip
        return (name.upper() if self._chance(0.03) else name.lower() if self._chance(0.03) else name), "ORGANIZATION"

    def firm(self) -> Value:
        """A company by one word alone, coined or plain."""
        word = self._pick("brand_words")
        return self._weighted((6, self._coined()), (2, word + self._pick("coined_ends")), (2, word)), "ORGANIZATION"

    def public_body(self) -> Value:
        """School, church, jail, shop, club."""
        stem = self._weighted(
            (3, self._last()),
            (3, self._place()[0]),
            (1, f"{self._first()} {self._last()}"),
            (2, self._pick("brand_words")),
            (1, self._pick("hospital_stems")),
        )
        name = f"{stem} {self._pick('organization_types')}"
        place = self._place()
        return self._weighted(
            (10, name),
            (1, f"University of {place[0]}"),
            (1, f"Bank of {place[0]}"),
            (1, f"City of {place[0]}"),
            (1, f"{place[4]} County Jail"),
            (1, f"PS {self._random.randint(2, 300)}"),
            (1, f"St. {self._first()} Parish"),
        ), "ORGANIZATION"
