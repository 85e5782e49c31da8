"""What starts the evaluation of a rule: each value, statement, pair, score of a message."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import msgspec

from agents.decide.form.base import Form, Hours


class OnMeasure(Form, frozen=True, kw_only=True, tag="measure", tag_field="each"):
    """Each value of ``input`` that the message changes, and each later one within ``reach_hours`` of it; ``also``: measures that are series of their own."""

    input: str
    reach_hours: Hours
    also: tuple[str, ...] = ()

    @property
    def measures(self) -> tuple[str, ...]:
        return (self.input, *self.also)


class OnTable(Form, frozen=True, kw_only=True, tag="table", tag_field="each"):
    """Each laboratory or vital fact that the message changes; the table's row for its code gives analyte and limits."""

    table: str


class OnStatements(Form, frozen=True, kw_only=True, tag="statements", tag_field="each"):
    """Each fact or mention of the message that one of ``inputs`` takes."""

    inputs: tuple[str, ...]


class OnPairs(Form, frozen=True, kw_only=True, tag="pairs", tag_field="each"):
    """Each medication with each allergy, where the message changes one of the two."""

    medications: str
    allergies: str


class Band(Form, frozen=True, kw_only=True):
    """Points for a value inside all bounds that are given. ``with_item``: only where that item of the score has points."""

    points: Annotated[int, msgspec.Meta(ge=0)]
    at_least: Decimal | None = None
    above: Decimal | None = None
    at_most: Decimal | None = None
    below: Decimal | None = None
    with_item: str = ""


class Part(Form, frozen=True, kw_only=True):
    """A measure and its bands; a value in no band has 0 points."""

    input: str
    bands: tuple[Band, ...]


class Item(Form, frozen=True, kw_only=True):
    """One line of a score: the most points of its parts; not scored (missing) where none of the parts has a value.

    ``only_with`` and ``not_with`` name a statement that the patient's record must hold, or must not, for the item to be used.
    """

    name: str
    parts: Annotated[tuple[Part, ...], msgspec.Meta(min_length=1)]
    hours: Hours
    only_with: str = ""
    not_with: str = ""


class OnScore(Form, frozen=True, kw_only=True, tag="score", tag_field="each"):
    """A sum of points at each time at which one of its measures changes. Each item takes its latest value within ``hours``.

    A missing item adds nothing, so that the sum is the least that the score can be; it is named in the flag's missing data.
    """

    items: Annotated[tuple[Item, ...], msgspec.Meta(min_length=1)]


class OnDrugs(Form, frozen=True, kw_only=True, tag="drugs", tag_field="each"):
    """Each medication with each other one, where the message changes one of the two."""

    medications: str


class OnContraindications(Form, frozen=True, kw_only=True, tag="contraindications", tag_field="each"):
    """Each medication with each of ``statements``, and with the latest filtration rate, where the message changes one of the two.

    ``filtration``: measures of charted eGFR or of creatinine (read by CKD-EPI 2021); the latest of the last ``hours`` counts.
    """

    medications: str
    statements: tuple[str, ...] = ()
    filtration: tuple[str, ...] = ()
    hours: Hours = 2160


class OnFiltration(Form, frozen=True, kw_only=True, tag="filtration", tag_field="each"):
    """Each charted filtration rate with the creatinine nearest to it, within ``hours`` before or after, where the message changes one of the two."""

    charted: str
    creatinine: str
    hours: Hours


class OnDoses(Form, frozen=True, kw_only=True, tag="doses", tag_field="each"):
    """Each medication that a note of the message gives with a dose, or that it orders with a coded dose and timing."""

    medications: str


class OnAllergens(Form, frozen=True, kw_only=True, tag="allergens", tag_field="each"):
    """Each drug that a note of the message names as an allergen, beside the patient's coded allergies."""

    allergies: str


class OnDenials(Form, frozen=True, kw_only=True, tag="denials", tag_field="each"):
    """Each problem, medication or allergy that a note of the message denies and the patient's coded facts state."""

    medications: str


Index = (
    OnMeasure
    | OnTable
    | OnStatements
    | OnPairs
    | OnScore
    | OnDrugs
    | OnContraindications
    | OnFiltration
    | OnDoses
    | OnAllergens
    | OnDenials
)
