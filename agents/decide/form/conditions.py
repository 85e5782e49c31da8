"""What a level of a rule asks. No expression language, nothing is evaluated as code."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from agents.decide.form.base import Form, Hours, Identifier


class Value(Form, frozen=True, kw_only=True, tag="value", tag_field="test"):
    """The index value against a number, in the analyte's canonical unit."""

    at_least: Decimal | None = None
    above: Decimal | None = None
    at_most: Decimal | None = None
    below: Decimal | None = None


class Rise(Form, frozen=True, kw_only=True, tag="rise", tag_field="test"):
    """The index value minus the lowest earlier value within ``hours``."""

    hours: Hours
    at_least: Decimal


#: ``recent``: lowest value of ``lowest_hours`` before, else the median from there to ``median_hours`` (NHS England AKI algorithm).
#: ``lowest``: the lowest of all ``median_hours``. ``estimated``: as ``recent``; without any earlier value, the creatinine at which CKD-EPI 2021
#: gives 75 mL/min/1.73 m2 for the patient's age and sex (KDIGO 2012, 2.4, back-calculation), named as estimated.
Baseline = Literal["recent", "lowest", "estimated"]


class Ratio(Form, frozen=True, kw_only=True, tag="ratio", tag_field="test"):
    """The index value over its baseline."""

    at_least: Decimal
    lowest_hours: Hours
    median_hours: Hours
    baseline: Baseline = "recent"


class Total(Form, frozen=True, kw_only=True, tag="total", tag_field="test"):
    """The sum of a score's points."""

    at_least: int


class Single(Form, frozen=True, kw_only=True, tag="single", tag_field="test"):
    """One item of a score has that many points alone."""

    at_least: int


class FiltrationDrop(Form, frozen=True, kw_only=True, tag="egfr_drop", tag_field="test"):
    """eGFR of the index is below ``below``, and that of the latest one within ``hours`` before was not: by CKD-EPI 2021 from a creatinine, or
    charted under one code (two equations may differ without any change of the kidney)."""

    below: Decimal
    hours: Hours


class FiltrationDiffers(Form, frozen=True, kw_only=True, tag="egfr_differs", tag_field="test"):
    """The higher of the charted and the computed rate is at least ``factor`` times and ``least`` above the lower, which is under ``below``
    (mL/min/1.73 m2)."""

    factor: Decimal
    least: Decimal
    below: Decimal


class Limits(Form, frozen=True, kw_only=True, tag="limits", tag_field="test"):
    """The index value outside the limits of its row in the index table."""


class Interpreted(Form, frozen=True, kw_only=True, tag="interpreted", tag_field="test"):
    """The laboratory itself marked the result with one of these (HL7 table 0078), whatever its number."""

    codes: tuple[str, ...]


class Present(Form, frozen=True, kw_only=True, tag="present", tag_field="test"):
    """The index statement is one that ``input`` takes; for a measure its number is also at least ``at_least``."""

    input: str
    at_least: Decimal | None = None


class Conflict(Form, frozen=True, kw_only=True, tag="conflict", tag_field="test"):
    """Medication and allergy share an ingredient, or ``table`` relates them: ``match`` says which."""

    table: str
    match: Literal["ingredient", "class", "cross"]


class Stated(Form, frozen=True, kw_only=True, tag="stated", tag_field="test"):
    """The statement ``input`` stands among the patient's coded facts of the last ``hours`` (without: of any time), or in a note of this message."""

    input: str
    hours: Hours | None = None


class Together(Form, frozen=True, kw_only=True, tag="together", tag_field="test"):
    """One medication is of ``one``, the other of ``other`` (ingredients or classes of ``table``), in either order."""

    table: str
    one: tuple[Identifier, ...]
    other: tuple[Identifier, ...]


class OrderedTwice(Form, frozen=True, kw_only=True, tag="ordered_twice", tag_field="test"):
    """The pair is one drug of ``table``, by two different orders that both stand."""

    table: str


class Written(Form, frozen=True, kw_only=True, tag="written", tag_field="test"):
    """The medication of the pair that is one of ``drugs`` is written with one of ``words`` ("gel", whole words, any case)."""

    table: str
    drugs: tuple[Identifier, ...]
    words: tuple[str, ...]


class AlsoGiven(Form, frozen=True, kw_only=True, tag="also_given", tag_field="test"):
    """Beside the pair a third medication is given that is one of ``drugs`` and written with none of ``not_written``."""

    table: str
    drugs: tuple[Identifier, ...]
    not_written: tuple[str, ...] = ()


class Older(Form, frozen=True, kw_only=True, tag="older", tag_field="test"):
    """The patient is older than that; not where the age is unknown."""

    than_years: Annotated[int, msgspec.Meta(ge=0, le=130)]


class Measured(Form, frozen=True, kw_only=True, tag="measured", tag_field="test"):
    """The latest value of ``input`` within ``hours``, inside the bounds that are given (canonical unit); missing data where there is none."""

    input: str
    hours: Hours
    at_least: Decimal | None = None
    below: Decimal | None = None


class GivenWith(Form, frozen=True, kw_only=True, tag="given_with", tag_field="test"):
    """The medication is one of ``drugs`` (ingredients or classes of ``table``) and the record, or this message's note, states ``input``.

    ``hours``: a statement older than that before the message no longer counts; without it, it holds until it is withdrawn.
    """

    table: str
    drugs: tuple[Identifier, ...]
    input: str
    hours: Hours | None = None


class GivenBelow(Form, frozen=True, kw_only=True, tag="given_below", tag_field="test"):
    """The medication is one of ``drugs`` and the filtration rate is certainly under ``below`` (mL/min/1.73 m2)."""

    table: str
    drugs: tuple[Identifier, ...]
    below: Decimal


class OverMaximum(Form, frozen=True, kw_only=True, tag="over_maximum", tag_field="test"):
    """The most that the text or the order lets the patient take in a day is over ``times`` the maximum of ``table`` (an ingredient's ``maximum_mg``)."""

    table: str
    times: Decimal = Decimal(1)


class Unlisted(Form, frozen=True, kw_only=True, tag="unlisted", tag_field="test"):
    """None of the patient's coded allergies names the allergen, its class or a member of it (``table``)."""

    table: str


class Denied(Form, frozen=True, kw_only=True, tag="denied", tag_field="test"):
    """What is denied and yet coded is of this kind; medications are compared by ``table``."""

    table: str
    kind: Literal["problem", "medication", "allergy"]


class AnyOf(Form, frozen=True, kw_only=True, tag="any", tag_field="test"):
    of: tuple[Condition, ...]


class AllOf(Form, frozen=True, kw_only=True, tag="all", tag_field="test"):
    of: tuple[Condition, ...]


class NoneOf(Form, frozen=True, kw_only=True, tag="none", tag_field="test"):
    of: tuple[Condition, ...]


Condition = (
    Value
    | Rise
    | Ratio
    | FiltrationDrop
    | FiltrationDiffers
    | Total
    | Single
    | Limits
    | Interpreted
    | Present
    | Conflict
    | Stated
    | Together
    | GivenWith
    | GivenBelow
    | OverMaximum
    | Unlisted
    | Denied
    | OrderedTwice
    | Written
    | AlsoGiven
    | Older
    | Measured
    | AnyOf
    | AllOf
    | NoneOf
)
