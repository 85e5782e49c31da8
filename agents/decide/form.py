"""The rule form: what a file in ``rules/`` and a table in ``tables/`` may say. No expression language, nothing is evaluated as code.

A rule names its inputs (measured values, stated codes or phrases, medications, allergies), how evaluation is started (``index``)
and its levels from the highest to the lowest; the first level whose condition holds makes the flag. Unknown keys are refused.
Hours and days are on the patient's own clock. ``rules/rule.schema.json`` is generated from these types.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from schemas.clinical import FactKind
from schemas.findings import MentionType

Identifier = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$", max_length=64)]
Hours = Annotated[int, msgspec.Meta(gt=0, le=24 * 366)]
Severity = Literal["info", "warning", "critical"]


class _Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class Code(_Form, frozen=True, kw_only=True):
    """``code`` ending in ``*`` stands for every code that begins so (ICD-10-CM 7th characters). An empty system is any system."""

    code: str
    system: str = ""


class Plausible(_Form, frozen=True, kw_only=True):
    """Values outside are taken for errors of the instrument or the unit: missing data."""

    low: Decimal
    high: Decimal


class Measure(_Form, frozen=True, kw_only=True, tag="measure", tag_field="is"):
    """A measured number. ``analyte`` names the row of ``units.py``; ``answers`` gives coded or written answers their number."""

    codes: tuple[Code, ...]
    analyte: str
    plausible: Plausible
    kinds: tuple[FactKind, ...] = ("lab", "vital", "score")
    answers: dict[str, Decimal] = {}


class Asserted(_Form, frozen=True, kw_only=True):
    """Which assertions a mention may carry and still count. By default: present, certain, current, the patient's."""

    negated: bool = False
    possible: bool = False
    historical: bool = False
    hypothetical: bool = False
    family: bool = False


class Statement(_Form, frozen=True, kw_only=True, tag="statement", tag_field="is"):
    """A coded fact or a mention. Either ``codes`` or one of ``terms`` (whole words, any case) must match.

    ``inferred``: a mention's codes that a vocabulary linked to its text count too. ``past``: facts that are resolved, inactive or not certain
    count too; refuted ones and errors never.
    """

    codes: tuple[Code, ...] = ()
    terms: tuple[str, ...] = ()
    inferred: bool = False
    past: bool = False
    facts: tuple[FactKind, ...] = ()
    mentions: tuple[MentionType, ...] = ()
    assertion: Asserted = Asserted()
    sections: tuple[str, ...] = ()
    not_sections: tuple[str, ...] = ()


class Medications(_Form, frozen=True, kw_only=True, tag="medications", tag_field="is"):
    """What the patient is given: medication facts that are not stopped, and asserted medication mentions."""

    lookback_hours: Hours
    assertion: Asserted = Asserted()


class Allergies(_Form, frozen=True, kw_only=True, tag="allergies", tag_field="is"):
    """What the patient does not tolerate: allergy facts, mentions in an allergy section or beside the word."""

    assertion: Asserted = Asserted(possible=True, historical=True)


InputForm = Measure | Statement | Medications | Allergies


class OnMeasure(_Form, frozen=True, kw_only=True, tag="measure", tag_field="each"):
    """Each value of ``input`` that the message changes, and each later one within ``reach_hours`` of it."""

    input: str
    reach_hours: Hours


class OnTable(_Form, frozen=True, kw_only=True, tag="table", tag_field="each"):
    """Each laboratory or vital fact that the message changes; the table's row for its code gives analyte and limits."""

    table: str


class OnStatements(_Form, frozen=True, kw_only=True, tag="statements", tag_field="each"):
    """Each fact or mention of the message that one of ``inputs`` takes."""

    inputs: tuple[str, ...]


class OnPairs(_Form, frozen=True, kw_only=True, tag="pairs", tag_field="each"):
    """Each medication with each allergy, where the message changes one of the two."""

    medications: str
    allergies: str


class Band(_Form, frozen=True, kw_only=True):
    """Points for a value inside all bounds that are given. ``with_item``: only where that item of the score has points."""

    points: Annotated[int, msgspec.Meta(ge=0)]
    at_least: Decimal | None = None
    above: Decimal | None = None
    at_most: Decimal | None = None
    below: Decimal | None = None
    with_item: str = ""


class Part(_Form, frozen=True, kw_only=True):
    """A measure and its bands; a value in no band has 0 points."""

    input: str
    bands: tuple[Band, ...]


class Item(_Form, frozen=True, kw_only=True):
    """One line of a score: the most points of its parts; not scored (missing) where none of the parts has a value.

    ``only_with`` and ``not_with`` name a statement that the patient's record must hold, or must not, for the item to be used.
    """

    name: str
    parts: Annotated[tuple[Part, ...], msgspec.Meta(min_length=1)]
    hours: Hours
    only_with: str = ""
    not_with: str = ""


class OnScore(_Form, frozen=True, kw_only=True, tag="score", tag_field="each"):
    """A sum of points at each time at which one of its measures changes. Each item takes its latest value within ``hours``.

    A missing item adds nothing, so that the sum is the least that the score can be; it is named in the flag's missing data.
    """

    items: Annotated[tuple[Item, ...], msgspec.Meta(min_length=1)]


class OnDrugs(_Form, frozen=True, kw_only=True, tag="drugs", tag_field="each"):
    """Each medication with each other one, where the message changes one of the two."""

    medications: str


class OnContraindications(_Form, frozen=True, kw_only=True, tag="contraindications", tag_field="each"):
    """Each medication with each of ``statements``, and with the latest filtration rate, where the message changes one of the two.

    ``filtration``: measures of charted eGFR or of creatinine (read by CKD-EPI 2021); the latest of the last ``hours`` counts.
    """

    medications: str
    statements: tuple[str, ...] = ()
    filtration: tuple[str, ...] = ()
    hours: Hours = 2160


class OnDoses(_Form, frozen=True, kw_only=True, tag="doses", tag_field="each"):
    """Each medication that a note of the message gives with a dose."""

    medications: str


class OnAllergens(_Form, frozen=True, kw_only=True, tag="allergens", tag_field="each"):
    """Each drug that a note of the message names as an allergen, beside the patient's coded allergies."""

    allergies: str


class OnDenials(_Form, frozen=True, kw_only=True, tag="denials", tag_field="each"):
    """Each problem, medication or allergy that a note of the message denies and the patient's coded facts state."""

    medications: str


Index = OnMeasure | OnTable | OnStatements | OnPairs | OnScore | OnDrugs | OnContraindications | OnDoses | OnAllergens | OnDenials


class Value(_Form, frozen=True, kw_only=True, tag="value", tag_field="test"):
    """The index value against a number, in the analyte's canonical unit."""

    at_least: Decimal | None = None
    above: Decimal | None = None
    at_most: Decimal | None = None
    below: Decimal | None = None


class Rise(_Form, frozen=True, kw_only=True, tag="rise", tag_field="test"):
    """The index value minus the lowest earlier value within ``hours``."""

    hours: Hours
    at_least: Decimal


#: ``recent``: lowest value of ``lowest_hours`` before, else the median from there to ``median_hours`` (NHS England AKI algorithm).
#: ``lowest``: the lowest of all ``median_hours``. ``estimated``: as ``recent``; without any earlier value, the creatinine at which CKD-EPI 2021
#: gives 75 mL/min/1.73 m2 for the patient's age and sex (KDIGO 2012, 2.4, back-calculation), named as estimated.
Baseline = Literal["recent", "lowest", "estimated"]


class Ratio(_Form, frozen=True, kw_only=True, tag="ratio", tag_field="test"):
    """The index value over its baseline."""

    at_least: Decimal
    lowest_hours: Hours
    median_hours: Hours
    baseline: Baseline = "recent"


class Total(_Form, frozen=True, kw_only=True, tag="total", tag_field="test"):
    """The sum of a score's points."""

    at_least: int


class Single(_Form, frozen=True, kw_only=True, tag="single", tag_field="test"):
    """One item of a score has that many points alone."""

    at_least: int


class FiltrationDrop(_Form, frozen=True, kw_only=True, tag="egfr_drop", tag_field="test"):
    """eGFR (CKD-EPI 2021) of the index creatinine is below ``below``, and that of the latest one within ``hours`` before was not."""

    below: Decimal
    hours: Hours


class Limits(_Form, frozen=True, kw_only=True, tag="limits", tag_field="test"):
    """The index value outside the limits of its row in the index table."""


class Interpreted(_Form, frozen=True, kw_only=True, tag="interpreted", tag_field="test"):
    """The laboratory itself marked the result with one of these (HL7 table 0078), whatever its number."""

    codes: tuple[str, ...]


class Present(_Form, frozen=True, kw_only=True, tag="present", tag_field="test"):
    """The index statement is one that ``input`` takes; for a measure its number is also at least ``at_least``."""

    input: str
    at_least: Decimal | None = None


class Conflict(_Form, frozen=True, kw_only=True, tag="conflict", tag_field="test"):
    """Medication and allergy share an ingredient, or ``table`` relates them: ``match`` says which."""

    table: str
    match: Literal["ingredient", "class", "cross"]


class Stated(_Form, frozen=True, kw_only=True, tag="stated", tag_field="test"):
    """The statement ``input`` stands among the patient's coded facts of the last ``hours`` (without: of any time), or in a note of this message."""

    input: str
    hours: Hours | None = None


class Together(_Form, frozen=True, kw_only=True, tag="together", tag_field="test"):
    """One medication is of ``one``, the other of ``other`` (ingredients or classes of ``table``), in either order."""

    table: str
    one: tuple[Identifier, ...]
    other: tuple[Identifier, ...]


class OrderedTwice(_Form, frozen=True, kw_only=True, tag="ordered_twice", tag_field="test"):
    """The pair is one drug of ``table``, by two different orders that both stand."""

    table: str


class Written(_Form, frozen=True, kw_only=True, tag="written", tag_field="test"):
    """The medication of the pair that is one of ``drugs`` is written with one of ``words`` ("gel", whole words, any case)."""

    table: str
    drugs: tuple[Identifier, ...]
    words: tuple[str, ...]


class AlsoGiven(_Form, frozen=True, kw_only=True, tag="also_given", tag_field="test"):
    """Beside the pair a third medication is given that is one of ``drugs`` and written with none of ``not_written``."""

    table: str
    drugs: tuple[Identifier, ...]
    not_written: tuple[str, ...] = ()


class Older(_Form, frozen=True, kw_only=True, tag="older", tag_field="test"):
    """The patient is older than that; not where the age is unknown."""

    than_years: Annotated[int, msgspec.Meta(ge=0, le=130)]


class Measured(_Form, frozen=True, kw_only=True, tag="measured", tag_field="test"):
    """The latest value of ``input`` within ``hours``, inside the bounds that are given (canonical unit); missing data where there is none."""

    input: str
    hours: Hours
    at_least: Decimal | None = None
    below: Decimal | None = None


class GivenWith(_Form, frozen=True, kw_only=True, tag="given_with", tag_field="test"):
    """The medication is one of ``drugs`` (ingredients or classes of ``table``) and the record, or this message's note, states ``input``.

    ``hours``: a statement older than that before the message no longer counts; without it, it holds until it is withdrawn.
    """

    table: str
    drugs: tuple[Identifier, ...]
    input: str
    hours: Hours | None = None


class GivenBelow(_Form, frozen=True, kw_only=True, tag="given_below", tag_field="test"):
    """The medication is one of ``drugs`` and the filtration rate is certainly under ``below`` (mL/min/1.73 m2)."""

    table: str
    drugs: tuple[Identifier, ...]
    below: Decimal


class OverMaximum(_Form, frozen=True, kw_only=True, tag="over_maximum", tag_field="test"):
    """The most that the text lets the patient take in a day is over ``times`` the maximum of ``table`` (an ingredient's ``maximum_mg``)."""

    table: str
    times: Decimal = Decimal(1)


class Unlisted(_Form, frozen=True, kw_only=True, tag="unlisted", tag_field="test"):
    """None of the patient's coded allergies names the allergen, its class or a member of it (``table``)."""

    table: str


class Denied(_Form, frozen=True, kw_only=True, tag="denied", tag_field="test"):
    """What is denied and yet coded is of this kind; medications are compared by ``table``."""

    table: str
    kind: Literal["problem", "medication", "allergy"]


class AnyOf(_Form, frozen=True, kw_only=True, tag="any", tag_field="test"):
    of: tuple[Condition, ...]


class AllOf(_Form, frozen=True, kw_only=True, tag="all", tag_field="test"):
    of: tuple[Condition, ...]


class NoneOf(_Form, frozen=True, kw_only=True, tag="none", tag_field="test"):
    of: tuple[Condition, ...]


Condition = (
    Value
    | Rise
    | Ratio
    | FiltrationDrop
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


class Level(_Form, frozen=True, kw_only=True):
    """``summary`` may hold ``{input}``, ``{value}``, ``{unit}``, ``{limit}``, ``{direction}``, ``{ratio}``, ``{rise}``, ``{medication}``,
    ``{allergy}``, ``{other}``, ``{score}``, ``{egfr}``, ``{problem}``; only words of our own tables and numbers are put in, never text of a message."""

    name: str
    severity: Severity
    summary: Annotated[str, msgspec.Meta(max_length=120)]
    when: Condition


class Applies(_Form, frozen=True, kw_only=True):
    """``unknown_age``: what to do where the message tells no age. ``not_with``: statements (pregnancy) under which the rule does not apply."""

    min_age_years: int = 0
    max_age_years: int | None = None
    unknown_age: Literal["apply", "skip"] = "apply"
    not_with: tuple[str, ...] = ()


class Suppress(_Form, frozen=True, kw_only=True):
    """The same flag again within ``hours`` is not raised unless its level is higher; ``by`` says what "same" means."""

    hours: Hours
    by: Literal["rule", "input", "pair"] = "rule"


class Resolve(_Form, frozen=True, kw_only=True):
    """When a standing flag passes: a value that meets no level, ``hours`` or more after the last one that did, with nothing missing.

    ``ratio_below``: the value must also be under that many times the baseline that the flag was raised on, for rules whose baseline moves
    with the series.
    """

    hours: Annotated[int, msgspec.Meta(ge=0, le=24 * 366)]
    ratio_below: Decimal | None = None


class Citation(_Form, frozen=True, kw_only=True):
    logic: str
    url: str


class RuleForm(_Form, frozen=True, kw_only=True):
    """One rule. ``staleness_hours``: an index older than this at the message's own time raises nothing.

    ``not_considered`` names what the source definition also uses and the stream does not have: it stands in every flag's
    missing data, so that no reader takes a clear result for a complete one.
    """

    api_version: Literal["rules/v1"]
    id: Identifier
    version: str
    title: str
    type: Identifier
    citation: Citation
    intended_use: str
    limitations: str
    inputs: dict[Identifier, InputForm]
    index: Index
    levels: Annotated[tuple[Level, ...], msgspec.Meta(min_length=1)]
    staleness_hours: Hours
    suppress: Suppress
    resolve: Resolve | None = None
    applies: Applies = Applies()
    not_considered: tuple[str, ...] = ()


class LimitRow(_Form, frozen=True, kw_only=True):
    """Critical limits of one analyte in its canonical unit: below ``low`` or above ``high``; ``high_inclusive`` for "at or above"."""

    analyte: str
    codes: tuple[Code, ...]
    display: str
    plausible: Plausible
    low: Decimal | None = None
    high: Decimal | None = None
    high_inclusive: bool = False
    enabled: bool = True


class LimitTable(_Form, frozen=True, kw_only=True):
    """``rows`` by a name; a site table replaces rows of the same name and adds others."""

    api_version: Literal["limits/v1"]
    version: str
    source: str
    rows: dict[Identifier, LimitRow]


class Ingredient(_Form, frozen=True, kw_only=True):
    """``names`` are generic and brand names; ``classes`` names of ``DrugTable.classes``; ``side_chain`` equal = same R1 side chain;
    ``maximum_mg``: the highest daily dose of an adult, in milligrams."""

    names: tuple[str, ...]
    rxnorm: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    side_chain: str = ""
    maximum_mg: Decimal | None = None


class DrugClass(_Form, frozen=True, kw_only=True):
    """``names``: how allergies name the class ("penicillins"); ``shared``: allergy to a member counts for every member."""

    names: tuple[str, ...]
    codes: tuple[Code, ...] = ()
    shared: bool = False


class DrugTable(_Form, frozen=True, kw_only=True):
    """Ingredients and classes for allergy checking; ``cross`` lists pairs of classes that conflict where side chains are equal."""

    api_version: Literal["drugs/v1"]
    version: str
    source: str
    ingredients: dict[Identifier, Ingredient]
    classes: dict[Identifier, DrugClass]
    cross: tuple[tuple[str, str], ...] = ()


def conditions(form: RuleForm) -> list[Condition]:
    """Every condition of every level, those inside others too."""
    found: list[Condition] = []
    pending = [level.when for level in form.levels]
    while pending:
        one = pending.pop()
        found.append(one)
        if isinstance(one, AnyOf | AllOf | NoneOf):
            pending.extend(one.of)
    return found
