"""Two medications of one patient beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from agents.decide.cases.evidence import Evidence
from agents.decide.context import ContextFact, ContextMention
from agents.decide.form import Condition, Together
from agents.decide.reading.drugs import DrugLexicon
from agents.decide.reading.pairs import Stated


@dataclass(slots=True)
class DrugsCase:
    """Two medications, the one with the lesser key first."""

    first: Stated
    second: Stated
    lexicon: DrugLexicon
    missing: set[str] = field(default_factory=set)
    counts: bool = True

    @property
    def elapsed(self) -> int | None:
        times = [row.elapsed for row in (self.first, self.second) if row.elapsed is not None]
        return max(times, default=None)

    def test(self, condition: Condition) -> Evidence | None:
        if not isinstance(condition, Together):
            raise TypeError(type(condition).__name__)
        for one, other in ((self.first, self.second), (self.second, self.first)):
            if self._is(one, condition.one) and self._is(other, condition.other):
                return self._evidence(one, other)
        return None

    def key(self, by: Literal["rule", "input", "pair"], evidence: Evidence) -> str:
        return evidence.part if by == "pair" else ""

    def _is(self, stated: Stated, names: tuple[str, ...]) -> bool:
        return not self.lexicon.kinds(stated.substance).isdisjoint(names)

    def _evidence(self, one: Stated, other: Stated) -> Evidence:
        sources = (one.source, other.source)
        return Evidence(
            tuple(source for source in sources if isinstance(source, ContextFact)),
            tuple(source for source in sources if isinstance(source, ContextMention)),
            words={"medication": one.substance.label or "a medication", "other": other.substance.label or "another"},
            part=f"{self.first.key}|{self.second.key}",
        )


def drug_cases(given: Sequence[Stated], touched: frozenset[str], lexicon: DrugLexicon) -> Iterator[DrugsCase]:
    """Every pair of different substances of the table of which the message touches one; each pair once, by its newest statements."""
    newest: dict[str, Stated] = {}
    for row in sorted(given, key=lambda stated: (-(2**62) if stated.elapsed is None else stated.elapsed, stated.ref)):
        if row.substance.ingredients or row.substance.classes:
            newest[row.key] = row
    names = sorted(newest)
    changed = {row.key for row in given if row.ref in touched}
    for number, first in enumerate(names):
        for second in names[number + 1 :]:
            if first in changed or second in changed:
                yield DrugsCase(newest[first], newest[second], lexicon)
