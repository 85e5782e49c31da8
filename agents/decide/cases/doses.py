"""A medication that a note or a coded order gives, with the dose that stands beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from agents.decide.cases.case import By, shown
from agents.decide.cases.evidence import Evidence
from agents.decide.context import ContextFact, ContextMention
from agents.decide.form.conditions import Condition, OverMaximum
from agents.decide.reading.doses import daily_mg, ordered_mg
from agents.decide.reading.drugs import DrugLexicon
from agents.decide.reading.pairs import Stated
from schemas.findings import Relation


@dataclass(slots=True)
class DoseCase:
    """``daily_mg`` is the most that the note or the order lets the patient take in a day; ``None``: it does not say."""

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
        return replace(
            Evidence.of((self.medication.source, *self.parts)),
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
    given: Sequence[Stated],
    mentions: Sequence[ContextMention],
    relations: Sequence[Relation],
    changed: frozenset[str],
    lexicon: DrugLexicon,
) -> Iterator[DoseCase]:
    """One case for each medication of ``mentions`` (the message's), or of an order that the message changes, that has a dose and is one
    ingredient with a maximum."""
    by_id = {mention.id: mention for mention in mentions}
    for medication in given:
        if len(medication.substance.ingredients) != 1:
            continue
        (ingredient,) = medication.substance.ingredients
        maximum = lexicon.maxima.get(ingredient)
        if isinstance(medication.source, ContextFact):
            fact = medication.source.fact
            if maximum is not None and fact.daily is not None and fact.id in changed:
                product = fact.text or next((coding.display for coding in fact.codes if coding.display), "")
                yield DoseCase(medication, (), ordered_mg(fact.daily, fact.unit, product), maximum)
            continue
        if medication.ref not in by_id:
            continue
        tails = [(one.type, by_id[one.tail]) for one in relations if one.head == medication.ref and one.tail in by_id]
        doses = [tail for kind, tail in tails if kind == "medication-dosage"]
        often = [tail for kind, tail in tails if kind == "medication-frequency"]
        if maximum is not None and doses:
            daily = daily_mg([one.text for one in doses], [one.text for one in often])
            yield DoseCase(medication, (*doses, *often), daily, maximum)
