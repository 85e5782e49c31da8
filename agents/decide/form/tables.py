"""Tables beside the rules: limits of the laboratory, ingredients and classes of drugs."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from agents.decide.form.base import Code, Form, Identifier, Plausible


class LimitRow(Form, frozen=True, kw_only=True):
    """Critical limits of one analyte in its canonical unit: below ``low`` or above ``high``; ``high_inclusive`` for "at or above"."""

    analyte: str
    codes: tuple[Code, ...]
    display: str
    plausible: Plausible
    low: Decimal | None = None
    high: Decimal | None = None
    high_inclusive: bool = False
    enabled: bool = True


class LimitTable(Form, frozen=True, kw_only=True):
    """``rows`` by a name; a site table replaces rows of the same name and adds others."""

    api_version: Literal["limits/v1"]
    version: str
    source: str
    rows: dict[Identifier, LimitRow]


class Ingredient(Form, frozen=True, kw_only=True):
    """``names`` are generic and brand names; ``classes`` names of ``DrugTable.classes``; ``side_chain`` equal = same R1 side chain;
    ``maximum_mg``: the highest daily dose of an adult, in milligrams."""

    names: tuple[str, ...]
    rxnorm: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    side_chain: str = ""
    maximum_mg: Decimal | None = None


class DrugClass(Form, frozen=True, kw_only=True):
    """``names``: how allergies name the class ("penicillins"); ``shared``: allergy to a member counts for every member."""

    names: tuple[str, ...]
    codes: tuple[Code, ...] = ()
    shared: bool = False


class DrugTable(Form, frozen=True, kw_only=True):
    """Ingredients and classes for allergy checking; ``cross`` lists pairs of classes that conflict where side chains are equal."""

    api_version: Literal["drugs/v1"]
    version: str
    source: str
    ingredients: dict[Identifier, Ingredient]
    classes: dict[Identifier, DrugClass]
    cross: tuple[tuple[str, str], ...] = ()
