"""What a rule sees of a patient: one message and the record so far."""

from __future__ import annotations

from dataclasses import dataclass

from agents.decide.context import PatientContext
from schemas.findings import Findings


@dataclass(frozen=True, slots=True)
class View:
    """What a rule sees: one message and the patient's context that already holds it. ``changed`` are fact ids."""

    findings: Findings
    context: PatientContext
    changed: frozenset[str]

    @property
    def now(self) -> int | None:
        """The message's own time, so that a replay sees what the first run saw."""
        return self.context.clock if self.findings.elapsed is None else self.findings.elapsed

    @property
    def age_years(self) -> int | None:
        return self.context.age_years if self.findings.age_years is None else self.findings.age_years

    @property
    def sex(self) -> str:
        return self.findings.sex or self.context.sex
