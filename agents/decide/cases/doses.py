"""A medication that a note gives, with the dose that stands beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from agents.decide.cases.case import By, shown
from agents.decide.cases.evidence import Evidence
from agents.decide.context import ContextMention
from agents.decide.form.conditions import Condition, OverMaximum
from agents.decide.reading.doses import daily_mg
from agents.decide.reading.drugs import DrugLexicon
from agents.decide.reading.pairs import Stated
from schemas.findings import Relation


@dataclass(slots=True)
class DoseCase:
    """``daily_mg`` is the most that the text lets the patient take in a day; ``None``: it does not say."""

    medication: Stated
    parts: tuple[ContextMention, ...]
    daily_mg: Decimal | None
    maximum_mg: Decimal
    missing: set[str] = field(default_factory=set)
    counts: bool = True

    def __post_init__(self) -> None:
        if self.daily_mg is None:
            self.missing.add("daily dose")

    @property
    def elapsed(self) -> int | None:
        return self.medication.elapsed

    def test(self, condition: Condition) -> Evidence | None:
        if not isinstance(condition, OverMaximum):
            raise TypeError(type(condition).__name__)
        bound = condition.times * self.maximum_mg
        if self.daily_mg is None or self.daily_mg <= bound:
            return None
        source = self.medication.source
        return Evidence(
            mentions=(*((source,) if isinstance(source, ContextMention) else ()), *self.parts),
            computed={"daily dose (mg)": self.daily_mg},
            thresholds={"daily dose above (mg)": bound},
            words={
                "medication": self.medication.substance.label,
                "value": shown(self.daily_mg),
                "unit": "mg",
                "limit": shown(self.maximum_mg),
            },
            part=self.medication.key,
        )

    def key(self, by: By, evidence: Evidence) -> str:
        return "" if by == "rule" else evidence.part


def dose_cases(
    given: Sequence[Stated], mentions: Sequence[ContextMention], relations: Sequence[Relation], lexicon: DrugLexicon
) -> Iterator[DoseCase]:
    """One case for each medication of ``mentions`` (the message's) that has a dose and is one ingredient with a maximum."""
    by_id = {mention.id: mention for mention in mentions}
    for medication in given:
        if medication.ref not in by_id or len(medication.substance.ingredients) != 1:
            continue
        (ingredient,) = medication.substance.ingredients
        maximum = lexicon.maxima.get(ingredient)
        tails = [(one.type, by_id[one.tail]) for one in relations if one.head == medication.ref and one.tail in by_id]
        doses = [tail for kind, tail in tails if kind == "medication-dosage"]
        often = [tail for kind, tail in tails if kind == "medication-frequency"]
        if maximum is not None and doses:
            daily = daily_mg([one.text for one in doses], [one.text for one in often])
            yield DoseCase(medication, (*doses, *often), daily, maximum)
