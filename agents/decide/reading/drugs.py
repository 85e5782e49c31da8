"""Which substances a medication or an allergy names, and whether the two conflict. The table is ``tables/drugs.yaml``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Literal

from agents.decide.form.base import Code
from agents.decide.form.tables import DrugTable
from schemas.clinical import Coding

Match = Literal["ingredient", "class", "cross"]

#: Words that name no substance: alone they never match anything.
_IDLE = frozenset(
    {
        "allergy", "allergies", "allergic", "allergen", "to", "of", "drug", "drugs", "product", "products", "substance",
        "disorder", "finding", "preparation", "intolerance", "hypersensitivity", "medication", "medications", "food", "other",
        "unknown", "none", "adverse", "reaction", "reactions", "and", "or", "the", "in", "with", "oral", "tablet", "capsule",
        "known", "no", "patient", "environment", "environmental", "miscellaneous", "class", "group", "agents",
    }
)  # fmt: skip
_WORD = re.compile(r"[a-z][a-z-]*[a-z]")
_NONE_KNOWN = re.compile(r"\b(?:no|denies|without)\b.{0,24}\ballerg|\bnk(?:d|f)?a\b|\bnot on file\b|\Anone\b", re.I)
#: SNOMED CT: no known allergy, no known drug allergy, no known food allergy.
_NONE_KNOWN_CODES = frozenset({"716186003", "409137002", "429625007", "428607008"})


@dataclass(frozen=True, slots=True)
class Substance:
    """``ingredients`` and ``classes`` are names of the table; ``words`` and ``codes`` stand in for a drug that it does not list."""

    ingredients: frozenset[str]
    classes: frozenset[str]
    words: frozenset[str]
    codes: frozenset[tuple[str, str]]

    @property
    def label(self) -> str:
        """A name from our own table, or ``""``: never text of the message."""
        return " / ".join(name.replace("-", " ") for name in sorted(self.ingredients) or sorted(self.classes))


def code_matches(coding: Coding, wanted: Code) -> bool:
    if wanted.system and coding.system and coding.system != wanted.system:
        return False
    return fnmatchcase(coding.code, wanted.code) if wanted.pattern else coding.code == wanted.code


class DrugLexicon:
    """The table compiled: names as whole words, the longest first."""

    def __init__(self, table: DrugTable) -> None:
        self._table = table
        self._names: dict[str, tuple[set[str], set[str]]] = {}
        self._rxnorm = {code: name for name, row in table.ingredients.items() for code in row.rxnorm}
        for name, row in table.ingredients.items():
            for written in row.names:
                self._names.setdefault(written.lower(), (set(), set()))[0].add(name)
        for name, group in table.classes.items():
            for written in group.names:
                self._names.setdefault(written.lower(), (set(), set()))[1].add(name)
        known = "|".join(re.escape(written) for written in sorted(self._names, key=lambda w: (-len(w), w)))
        self._pattern = re.compile(rf"(?<![a-z0-9])(?:{known})(?![a-z0-9])")

    def read(self, text: str, codes: Sequence[Coding]) -> Substance:
        """What ``text`` and the displays and stated codes beside it name; codes linked to text by a vocabulary are left out."""
        codes = [coding for coding in codes if not coding.inferred]
        ingredients: set[str] = set()
        classes: set[str] = set()
        written = [piece.lower() for piece in (text, *(coding.display for coding in codes)) if piece]
        for piece in written:
            for match in self._pattern.finditer(piece):
                found = self._names[match.group()]
                ingredients |= found[0]
                classes |= found[1]
        for coding in codes:
            if "rxnorm" in coding.system.lower() and coding.code in self._rxnorm:
                ingredients.add(self._rxnorm[coding.code])
        classes |= self._coded(codes)
        words = {word for piece in written for word in _WORD.findall(piece)} - _IDLE
        return Substance(
            frozenset(ingredients),
            frozenset(classes),
            frozenset(words),
            frozenset((coding.system, coding.code) for coding in codes if coding.system and coding.code),
        )

    def read_codes(self, codes: Sequence[Coding]) -> Substance | None:
        """The classes that codes alone say the patient is allergic to (ICD-10-CM Z88.0), or ``None``."""
        classes = self._coded(codes)
        return Substance(frozenset(), frozenset(classes), frozenset(), frozenset()) if classes else None

    def _coded(self, codes: Sequence[Coding]) -> set[str]:
        return {
            name
            for name, row in self._table.classes.items()
            for wanted in row.codes
            if any(coding.system == wanted.system and code_matches(coding, wanted) for coding in codes)
        }

    @property
    def names(self) -> frozenset[str]:
        """Of all ingredients and classes of the table."""
        return frozenset((*self._table.ingredients, *self._table.classes))

    @property
    def maxima(self) -> dict[str, Decimal]:
        """Highest daily dose of an adult in milligrams, by ingredient, where the table has one."""
        return {name: row.maximum_mg for name, row in self._table.ingredients.items() if row.maximum_mg is not None}

    def kinds(self, substance: Substance) -> frozenset[str]:
        """Names of the ingredients and of all classes that the substance belongs to."""
        return frozenset((*substance.ingredients, *substance.classes, *self._classes(substance.ingredients)))

    def conflict(self, medication: Substance, allergy: Substance) -> Match | None:
        """The closest way in which the two conflict."""
        if medication.ingredients & allergy.ingredients or medication.codes & allergy.codes or _same_word(medication, allergy):
            return "ingredient"
        given = self._classes(medication.ingredients) | medication.classes
        shared = {name for name in self._classes(allergy.ingredients) if self._table.classes[name].shared}
        if given & (allergy.classes | shared):
            return "class"
        return "cross" if self._cross(medication, allergy) else None

    def _cross(self, medication: Substance, allergy: Substance) -> bool:
        for one, other in self._table.cross:
            for left, right in ((one, other), (other, one)):
                chains = self._chains(medication.ingredients, left)
                allergens = self._chains(allergy.ingredients, right)
                if right in allergy.classes and left != right:
                    allergens |= self._chains(self._table.ingredients, right)
                if chains & allergens:
                    return True
        return False

    def _chains(self, ingredients: Iterable[str], group: str) -> set[str]:
        rows = (self._table.ingredients[name] for name in ingredients)
        return {row.side_chain for row in rows if row.side_chain and group in row.classes}

    def _classes(self, ingredients: Iterable[str]) -> set[str]:
        return {group for name in ingredients for group in self._table.ingredients[name].classes}


def _same_word(medication: Substance, allergy: Substance) -> bool:
    """For drugs outside the table: every word of the allergy stands in the medication, and one of them is long enough to mean it."""
    if allergy.ingredients or allergy.classes:
        return False
    return bool(allergy.words) and allergy.words <= medication.words and max(map(len, allergy.words)) >= 5


def none_known(text: str, codes: Sequence[Coding]) -> bool:
    """The entry says that no allergy is known."""
    return any(coding.code in _NONE_KNOWN_CODES for coding in codes) or any(
        _NONE_KNOWN.search(piece) for piece in (text, *(coding.display for coding in codes)) if piece
    )
