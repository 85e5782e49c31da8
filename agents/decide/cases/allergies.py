"""A medication beside an allergy."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from agents.decide.cases.case import By
from agents.decide.cases.evidence import Evidence
from agents.decide.form.conditions import Condition, Conflict
from agents.decide.reading.drugs import Match
from agents.decide.reading.pairs import Stated


@dataclass(slots=True)
class PairCase:
    """A medication beside an allergy; ``match`` is how they conflict, if they do."""

    medication: Stated
    allergy: Stated
    match: Match | None
    missing: set[str] = field(default_factory=set)
    counts: bool = True

    @property
    def elapsed(self) -> int | None:
        return self.medication.elapsed

    def test(self, condition: Condition) -> Evidence | None:
        if not isinstance(condition, Conflict):
            raise TypeError(type(condition).__name__)
        if self.match != condition.match:
            return None
        return replace(
            Evidence.of((self.medication.source, self.allergy.source)),
            words={
                "medication": self.medication.substance.label or "A medication",
                "allergy": self.allergy.substance.label or "the same substance",
            },
            part=f"{self.medication.key}|{self.allergy.key}",
        )

    def key(self, by: By, evidence: Evidence) -> str:
        return evidence.part if by == "pair" else ""
