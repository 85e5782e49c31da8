"""Surrogate values in the many shapes that notes write them in; each comes with its label, ``None`` for what is no identifier.

What counts follows the Safe Harbor list, 45 CFR 164.514(b)(2): all elements of dates but the year, ages over 89, places
smaller than a state (states and countries are marked too), and so on.
"""

from __future__ import annotations

from random import Random
from typing import Final

from training.data.lexicon import Lexicon
from training.phi.draw import Value
from training.phi.gazetteer import Gazetteer
from training.phi.numbers import Numbers
from training.phi.places import Places
from training.phi.times import Times

__all__ = ["Value", "Values"]

#: Clinical slots that one list fills.
_LISTED: Final = {
    "eponym": "eponyms", "scale": "scales", "place_disease": "place_diseases", "name_like": "name_like", "gene": "genes",
    "trial": "trials",
    "device": "device_models", "stage": "stages", "public": "organizations_public", "role": "roles",
    "generic_place": "generic_places", "vague_place": "vague_places",
}  # fmt: skip


class Values(Places, Times, Numbers):
    """Draws values; the same random generator state gives the same values. Every public method is a template slot.

    Args:
        lexicon: clinical words for the slots that are no identifiers.
    """

    def __init__(self, random: Random, gazetteer: Gazetteer, lexicon: Lexicon) -> None:
        super().__init__(random, gazetteer)
        self._lexicon = lexicon

    def of(self, slot: str) -> Value:
        """A value for a template slot: the name of a method or of a clinical list."""
        if slot in _LISTED:
            return self._pick(_LISTED[slot]), None
        value: Value = getattr(self, slot)()
        return value

    # clinical words
    def drug(self) -> Value:
        return self._random.choice(self._lexicon.words["common_drugs"] if self._chance(0.6) else self._lexicon.drugs), None

    def problem(self) -> Value:
        return self._random.choice(self._lexicon.words["problems"] if self._chance(0.6) else self._lexicon.diseases), None

    def finding(self) -> Value:
        return self._random.choice(self._lexicon.words["symptoms"]), None

    def procedure(self) -> Value:
        return self._random.choice(self._lexicon.words["procedures"]), None

    def test(self) -> Value:
        return self._random.choice(self._lexicon.words["tests"]), None

    def normal(self) -> Value:
        return self._random.choice(("normal", "unremarkable", "negative", "positive", "stable")), None

    # numbers that are no identifiers
    def dose(self) -> Value:
        r = self._random
        return self._weighted(
            (8, f"{r.choice((2.5, 5, 10, 20, 40, 50, 81, 100, 250, 500))} {r.choice(('mg', 'mcg', 'units', 'mL', 'g', 'mEq'))}"),
            (1, r.choice(("5/325 mg", "875/125 mg", "70/30", "800-160 mg", "10/20 mg", "25-100 mg"))),
            (1, f"{r.randint(1, 3)}-{r.randint(4, 6)} tablets"),
            (1, f"{r.choice(('1,000', '5,000', '10,000', '50,000', '100,000'))} units"), (1, f"{r.randint(1, 20)} mg/kg/day"),
        ), None  # fmt: skip

    def labs(self) -> Value:
        some = self._random.sample(self._lexicon.words["analytes"], self._random.randint(2, 5))
        return ", ".join(f"{name} {self._random.uniform(low, high):.1f} {unit}".rstrip() for name, unit, low, high in some), None

    def vitals(self) -> Value:
        r = self._random
        rows = [
            f"BP {r.randint(90, 199)}/{r.randint(50, 109)}", f"HR {r.randint(48, 140)}", f"RR {r.randint(10, 32)}",
            f"T {r.uniform(96, 103):.1f}",
            f"SpO2 {r.randint(88, 100)}% on room air", f"weight {r.randint(45, 140)} kg", f"Wt {r.randint(95, 250)} lb",
            f"BMI {r.uniform(18, 45):.1f}", f"temp {r.uniform(36, 39.9):.1f} C",
            f"sats {r.randint(88, 100)}%", f"pulse {r.randint(50, 120)}", f"FSBG {r.randint(60, 320)}",
            f"height {r.randint(58, 76)} in", f"I/O {r.randint(900, 3000)}/{r.randint(600, 2500)}",
        ]  # fmt: skip
        return ", ".join(r.sample(rows, r.randint(2, 5))), None

    def code(self) -> Value:
        """Code of a disease, procedure, drug or test: it says what, not who."""
        r = self._random
        return self._weighted(
            (3, f"ICD-10 {r.choice('EIJKMNR')}{r.randint(10, 99)}.{r.randint(0, 9)}"), (2, f"CPT 9{r.randint(9201, 9499)}"),
            (1, f"LOINC {r.randint(1000, 99999)}-{r.randint(0, 9)}"),
            (1, f"DRG {r.randint(100, 900)}"), (1, f"SNOMED {r.randint(10000000, 99999999)}"),
            (1, f"NDC {r.randint(1000, 9999):05}-{r.randint(100, 999):04}-{r.randint(10, 99)}"),
            (1, f"RxNorm {r.randint(1000, 999999)}"),
            (1, f"HCPCS J{r.randint(1000, 9999)}"), (1, f"modifier {r.randint(21, 99)}"),
        ), None  # fmt: skip

    def guideline(self) -> Value:
        """A document of a public body or of a year."""
        year = str(self._random.randint(1998, 2027))
        public, word, eponym = self._pick("organizations_public"), self._pick("guideline_words"), self._pick("eponyms")
        return self._weighted(
            (3, f"the {year} {public} {word}"),
            (3, f"the {year} {word}"), (2, f"the {public} {word}"), (2, f"the {year} {word} of the {eponym} criteria"),
            (1, f"the {public} {word} of {year}")
        ), None  # fmt: skip

    def count(self) -> Value:
        """A measure or a count."""
        r = self._random
        return r.choice(
            (
                f"{r.uniform(0.2, 9):.1f} x {r.uniform(0.2, 9):.1f} cm", f"{r.randint(2, 90)} mm", f"{r.randint(100, 450)},000",
                f"{r.randint(91, 108)} mg/dL", f"{r.randint(90, 99)}%", f"{r.randint(2, 12)} cm", f"{r.randint(500, 2500)} mL",
                f"EF {r.randint(20, 70)}%",
                f"{r.randint(90, 105)} bpm", f"{r.randint(5, 45)} minutes", f"{r.randint(2, 60)} pack-years",
                f"{r.randint(1, 14)} days",
            )
        ), None  # fmt: skip

    def room(self) -> Value:
        return self._random.choice(
            (
                f"{self._random.randint(1, 12)}{self._letter()}",
                f"{self._random.randint(100, 999)}",
                "ICU 4",
                "Bay 3",
                "OR 2",
                "Bed 12",
            )
        ), None
