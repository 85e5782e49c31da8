"""The rule form: what a file in ``rules/`` may say.

A rule names its inputs, how evaluation is started (``index``) and its levels from the highest to the lowest; the first level whose condition
holds makes the flag. Unknown keys are refused. Hours and days are on the patient's own clock. ``rules/rule.schema.json`` is generated from these types.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from agents.decide.form.base import Form, Hours, Identifier, Severity
from agents.decide.form.conditions import AllOf, AnyOf, Condition, NoneOf
from agents.decide.form.index import Index
from agents.decide.form.inputs import InputForm


class Level(Form, frozen=True, kw_only=True):
    """``summary`` may hold ``{input}``, ``{value}``, ``{unit}``, ``{limit}``, ``{direction}``, ``{ratio}``, ``{rise}``, ``{medication}``,
    ``{allergy}``, ``{other}``, ``{score}``, ``{egfr}``, ``{problem}``; only words of our own tables and numbers are put in, never text of a message."""

    name: str
    severity: Severity
    summary: Annotated[str, msgspec.Meta(max_length=120)]
    when: Condition


class Applies(Form, frozen=True, kw_only=True):
    """``unknown_age``: what to do where the message tells no age. ``not_with``: statements (pregnancy) under which the rule does not apply."""

    min_age_years: int = 0
    max_age_years: int | None = None
    unknown_age: Literal["apply", "skip"] = "apply"
    not_with: tuple[str, ...] = ()


class Suppress(Form, frozen=True, kw_only=True):
    """The same flag again within ``hours`` is not raised unless its level is higher; ``by`` says what "same" means."""

    hours: Hours
    by: Literal["rule", "input", "pair"] = "rule"


class Resolve(Form, frozen=True, kw_only=True):
    """When a standing flag passes: a value that meets no level, ``hours`` or more after the last one that did, with nothing missing.

    ``ratio_below``: the value must also be under that many times the baseline that the flag was raised on, for rules whose baseline moves
    with the series.
    """

    hours: Annotated[int, msgspec.Meta(ge=0, le=24 * 366)]
    ratio_below: Decimal | None = None


class Citation(Form, frozen=True, kw_only=True):
    logic: str
    url: str


class RuleForm(Form, frozen=True, kw_only=True):
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


def conditions(form: RuleForm) -> Iterator[Condition]:
    """Every condition of every level, those inside others too."""
    for level in form.levels:
        yield from walk(level.when)


def walk(condition: Condition) -> Iterator[Condition]:
    """The condition and those inside it."""
    yield condition
    if isinstance(condition, AnyOf | AllOf | NoneOf):
        for one in condition.of:
            yield from walk(one)
