"""A stated thing: a coded fact, a measured answer or a mention that one input of a rule took."""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.decide.cases.case import By, at_least
from agents.decide.cases.evidence import Evidence
from agents.decide.context import ContextFact, ContextMention
from agents.decide.form.conditions import Condition, Present
from agents.decide.form.inputs import Measure
from agents.decide.reading.inputs import Reading


@dataclass(slots=True)
class StatementCase:
    """A fact, a measured answer or a mention that one input took."""

    name: str
    fact: ContextFact | None = None
    mention: ContextMention | None = None
    reading: Reading | None = None
    measure: Measure | None = None
    missing: set[str] = field(default_factory=set)
    counts: bool = True

    def __post_init__(self) -> None:
        if self.reading is not None and self.reading.missing:
            self.missing.add(self.reading.missing)

    @property
    def elapsed(self) -> int | None:
        if self.mention is not None:
            return self.mention.elapsed
        row = self.reading.row if self.reading else self.fact
        return None if row is None else row.fact.elapsed

    def test(self, condition: Condition) -> Evidence | None:
        if not isinstance(condition, Present):
            raise TypeError(type(condition).__name__)
        if condition.input != self.name:
            return None
        if self.reading is None:
            return Evidence((self.fact,) if self.fact else (), (self.mention,) if self.mention else ())
        bound, value = condition.at_least, self.reading.value
        if bound is None or value is None or not at_least(value, self.reading.comparator, bound):
            return None
        return Evidence((self.reading.row,), computed={self.name: value}, thresholds={f"{self.name} at least": bound})

    def key(self, by: By, evidence: Evidence) -> str:
        return self.name if by == "input" else ""
