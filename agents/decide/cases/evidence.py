"""What speaks for a flag: the facts and mentions that were looked at, what was computed from them, and against which limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

from agents.decide.context import ContextFact, ContextMention
from schemas.flags import Input, TextSpan

_PLACES = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Evidence:
    """``words`` fill the level's summary; ``part`` tells the hits of one rule apart (analyte and direction); ``missing``: what a score lacked."""

    facts: tuple[ContextFact, ...] = ()
    mentions: tuple[ContextMention, ...] = ()
    computed: dict[str, Decimal] = field(default_factory=dict)
    thresholds: dict[str, Decimal] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    part: str = ""
    missing: tuple[str, ...] = ()

    @classmethod
    def of(cls, sources: Iterable[ContextFact | ContextMention]) -> Evidence:
        """Facts and mentions apart, in their order."""
        rows = tuple(sources)
        return cls(
            tuple(row for row in rows if isinstance(row, ContextFact)),
            tuple(row for row in rows if isinstance(row, ContextMention)),
        )

    @classmethod
    def joined(cls, parts: Sequence[Evidence]) -> Evidence:
        """All of them; the first says the words where two differ."""
        facts = {row.fact.id: row for part in parts for row in part.facts}
        mentions = {row.id: row for part in parts for row in part.mentions}
        return cls(
            tuple(facts.values()),
            tuple(mentions.values()),
            {key: value for part in reversed(parts) for key, value in part.computed.items()},
            {key: value for part in reversed(parts) for key, value in part.thresholds.items()},
            {key: value for part in reversed(parts) for key, value in part.words.items()},
            next((part.part for part in parts if part.part), ""),
            tuple(dict.fromkeys(name for part in parts for name in part.missing)),
        )

    @property
    def refs(self) -> tuple[str, ...]:
        return tuple(sorted({row.fact.id for row in self.facts} | {row.id for row in self.mentions}))

    @property
    def baseline(self) -> Decimal | None:
        """The lowest value that a series was compared with, in the canonical unit."""
        return min(
            (self.computed[name] for name in ("baseline", "estimated baseline", "lowest") if name in self.computed), default=None
        )

    def inputs(self) -> tuple[Input, ...]:
        """The facts as the flag shows them: value and unit as written by the sender."""
        return tuple(as_input(row) for row in self.facts)

    def text_spans(self) -> tuple[TextSpan, ...]:
        return tuple(
            TextSpan(note=row.note, sha256=row.sha256, start=row.start, end=row.end, mention=row.id, origin=row.origin)
            for row in self.mentions
        )


def as_input(row: ContextFact) -> Input:
    fact = row.fact
    first = fact.codes[0] if fact.codes else None
    shown = fact.text or next((coding.display or coding.code for coding in fact.value_codes), "")
    return Input(
        ref=fact.id,
        code=first.code if first else "",
        display=first.display if first else "",
        value=fact.value,
        unit=fact.unit,
        text=("" if fact.value is not None else shown) if not fact.comparator else fact.comparator,
        elapsed=fact.elapsed,
        origin=row.origin,
    )


def rounded(value: Decimal) -> Decimal:
    """Four places: what a flag shows; comparisons use the exact value."""
    return value.quantize(_PLACES, ROUND_HALF_UP)
