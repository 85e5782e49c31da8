"""What stands beside medications in a rule: the patient's record, this message's mentions, age and sex."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents.decide.cases.evidence import Evidence
from agents.decide.context import MINUTES_PER_HOUR, ContextFact, ContextMention, PatientContext
from agents.decide.form.inputs import Measure, Statement
from agents.decide.reading.inputs import Reading, readings, takes_fact, takes_mention


@dataclass(frozen=True, slots=True)
class Patient:
    """The record, this message's mentions, and what CKD-EPI needs; ``now`` in minutes on the patient's clock."""

    context: PatientContext
    mentions: Sequence[ContextMention]
    now: int | None
    age_years: int | None
    sex: str

    def stated(self, statement: Statement, hours: int | None) -> Evidence | None:
        """The first fact of the last ``hours`` (without: of any time) that makes the statement, else the first mention of this message."""
        for row in self.context.current(statement.facts):
            if recent(row.fact.elapsed, self.now, hours) and takes_fact(row.fact, statement):
                return Evidence((row,))
        for mention in self.mentions:
            if takes_mention(mention, statement):
                return Evidence((), (mention,))
        return None

    def latest(self, measure: Measure, hours: int) -> Reading | None:
        """The newest exact value within the hours before now."""
        span = None if self.now is None else (self.now - hours * MINUTES_PER_HOUR, self.now)
        found = readings(self.context, measure, span=span)
        return next((one for one in reversed(found) if one.exact), None)


def elapsed_of(source: ContextFact | ContextMention) -> int | None:
    """Minutes on the patient's clock."""
    return source.fact.elapsed if isinstance(source, ContextFact) else source.elapsed


def recent(elapsed: int | None, now: int | None, hours: int | None) -> bool:
    """Whether ``elapsed`` is at most ``hours`` before ``now``; what is unknown counts."""
    return elapsed is None or now is None or hours is None or elapsed >= now - hours * MINUTES_PER_HOUR
