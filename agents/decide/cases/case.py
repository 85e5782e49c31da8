"""What a rule is asked about, one case at a time, and how two numbers compare where the sender wrote "<" or ">"."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, Protocol

from agents.decide.cases.evidence import Evidence
from agents.decide.form.conditions import Condition

By = Literal["rule", "input", "pair"]


class Case(Protocol):
    """``missing`` collects what a test would have needed; it is reported only of cases that ``counts`` says."""

    missing: set[str]
    counts: bool

    @property
    def elapsed(self) -> int | None: ...

    def test(self, condition: Condition) -> Evidence | None:
        """Evidence when the condition holds. Only conditions that the linter lets through for this index are asked."""

    def key(self, by: By, evidence: Evidence) -> str:
        """What "the same flag" means under the rule's suppression."""


def below(value: Decimal, comparator: str, bound: Decimal) -> bool:
    """``value`` is certainly below ``bound``: "<3" is below 3, "<=3" and ">1" are not known to be."""
    return value <= bound if comparator == "<" else comparator in ("", "<=") and value < bound


def above(value: Decimal, comparator: str, bound: Decimal) -> bool:
    return value >= bound if comparator == ">" else comparator in ("", ">=") and value > bound


def at_least(value: Decimal, comparator: str, bound: Decimal) -> bool:
    return comparator in ("", ">=", ">") and value >= bound


def at_most(value: Decimal, comparator: str, bound: Decimal) -> bool:
    return comparator in ("", "<=", "<") and value <= bound


def shown(value: Decimal) -> str:
    """A number for people: at most two decimals, no exponent, no trailing zeros."""
    text = f"{value.quantize(Decimal('0.01')):f}"
    return text.rstrip("0").rstrip(".")
