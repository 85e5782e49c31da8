"""A value of a series, or a result beside its row of a table of limits, and the tests that it can answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import median

from agents.decide.cases.case import By, above, at_least, at_most, below, shown
from agents.decide.cases.evidence import Evidence, rounded
from agents.decide.context import MINUTES_PER_HOUR, ContextFact
from agents.decide.form.conditions import Condition, FiltrationDrop, Interpreted, Limits, Ratio, Rise, Value
from agents.decide.form.inputs import Measure
from agents.decide.form.tables import LimitRow
from agents.decide.reading.inputs import Reading
from agents.decide.reading.renal import creatinine_at, egfr
from agents.decide.reading.units import canonical_unit

#: KDIGO 2012, 2.4: where no baseline is known, the creatinine of a filtration rate of 75 mL/min/1.73 m2.
_ASSUMED_EGFR = Decimal(75)


def _value(condition: Value, reading: Reading, unit: str) -> Evidence | None:
    value, sign = reading.value, reading.comparator
    if value is None:
        return None
    for name, bound, test in (
        ("at least", condition.at_least, at_least),
        ("above", condition.above, above),
        ("at most", condition.at_most, at_most),
        ("below", condition.below, below),
    ):
        if bound is not None and test(value, sign, bound):
            return Evidence((reading.row,), thresholds={f"value {name}": bound}, words=_words(reading, unit))
    return None


def _interpreted(condition: Interpreted, row: ContextFact, words: dict[str, str], part: str) -> Evidence | None:
    marks = {mark.upper() for mark in row.fact.interpretation} & set(condition.codes)
    if not marks:
        return None
    side = "low" if marks == {"LL"} else "high" if marks == {"HH"} else "marked"
    return Evidence((row,), words=words, part=f"{part}|{side}")


def _words(reading: Reading, unit: str) -> dict[str, str]:
    if reading.value is None:
        return {}
    return {"value": reading.comparator + shown(reading.value), "unit": unit}


@dataclass(slots=True)
class MeasureCase:
    """A value of a series; ``earlier`` are the readings strictly before it."""

    reading: Reading
    measure: Measure
    earlier: Sequence[Reading]
    missing: set[str] = field(default_factory=set)
    counts: bool = True
    age_years: int | None = None
    sex: str = ""

    def __post_init__(self) -> None:
        if self.reading.missing:
            self.missing.add(self.reading.missing)

    @property
    def elapsed(self) -> int | None:
        return self.reading.elapsed

    def test(self, condition: Condition) -> Evidence | None:
        if isinstance(condition, FiltrationDrop):
            return self._drop(condition)
        if isinstance(condition, Value):
            return _value(condition, self.reading, canonical_unit(self.measure.analyte))
        if isinstance(condition, Rise):
            return self._rise(condition)
        if isinstance(condition, Ratio):
            return self._ratio(condition)
        if isinstance(condition, Interpreted):
            return _interpreted(condition, self.reading.row, self._own_words(), "")
        raise TypeError(type(condition).__name__)

    def key(self, by: By, evidence: Evidence) -> str:
        return evidence.part if by == "input" else ""

    def cleared(self, by: By) -> tuple[str, ...]:
        """Keys whose state has passed where no level holds: known only of an exact value. What else is missing stays in ``missing``."""
        return ("",) if self.reading.exact else ()

    @property
    def rows(self) -> tuple[ContextFact, ...]:
        return (self.reading.row,)

    def _own_words(self) -> dict[str, str]:
        return _words(self.reading, canonical_unit(self.measure.analyte))

    def _window(self, newest_hours: int, oldest_hours: int) -> list[Reading]:
        """Exact readings more than ``newest_hours`` and at most ``oldest_hours`` before the index (0: up to it)."""
        now = self.reading.elapsed
        if now is None:
            return []
        newest, oldest = now - newest_hours * MINUTES_PER_HOUR, now - oldest_hours * MINUTES_PER_HOUR
        return [r for r in self.earlier if r.exact and r.elapsed is not None and oldest <= r.elapsed < newest]

    def _rise(self, condition: Rise) -> Evidence | None:
        value = self._comparable()
        if value is None:
            return None
        window = self._window(0, condition.hours)
        if not window:
            self.missing.add(f"value of the {condition.hours} h before")
            return None
        lowest = min(window, key=_number)
        rise = value - _number(lowest)
        if rise < condition.at_least:
            return None
        name = f"rise in {condition.hours} h"
        return Evidence(
            (self.reading.row, lowest.row),
            computed={name: rounded(rise), "lowest": rounded(_number(lowest))},
            thresholds={name: condition.at_least},
            words=self._own_words() | {"rise": shown(rise)},
        )

    def _ratio(self, condition: Ratio) -> Evidence | None:
        value = self._comparable()
        if value is None:
            return None
        found = self._baseline(condition)
        if found is None:
            self.missing.add("baseline")
            return None
        rows, baseline, estimated = found
        if baseline <= 0 or value < condition.at_least * baseline:
            return None
        ratio = value / baseline
        return Evidence(
            (self.reading.row, *rows),
            computed={"ratio": rounded(ratio), "estimated baseline" if estimated else "baseline": rounded(baseline)},
            thresholds={"ratio": condition.at_least},
            words=self._own_words() | {"ratio": shown(ratio)},
            missing=("measured baseline",) if estimated else (),
        )

    def _baseline(self, condition: Ratio) -> tuple[list[ContextFact], Decimal, bool] | None:
        """The values that it rests on, the baseline, and whether it is estimated from age and sex alone."""
        lowest_hours = condition.median_hours if condition.baseline == "lowest" else condition.lowest_hours
        recent = self._window(0, lowest_hours)
        if recent:
            lowest = min(recent, key=_number)
            return [lowest.row], _number(lowest), False
        older = self._window(lowest_hours, condition.median_hours)
        if older:
            return [r.row for r in older], Decimal(median(_number(r) for r in older)), False
        if condition.baseline == "estimated" and self.age_years is not None:
            estimate = creatinine_at(_ASSUMED_EGFR, self.age_years, self.sex)
            return None if estimate is None else ([], estimate, True)
        return None

    def _drop(self, condition: FiltrationDrop) -> Evidence | None:
        """Both values under the age and sex that the index message knows; without either there is no eGFR of a creatinine."""
        charted, sign = self.measure.analyte == "filtration", self.reading.comparator
        value = self.reading.value if charted else self._comparable()
        if value is None:
            return None
        now = self._rate(value)
        if now is None:
            self.missing.add("age" if self.age_years is None else "sex")
            return None
        window = self._window(0, condition.hours)
        if charted:
            window = [one for one in window if _one_code(one, self.reading)]
        if not window:
            self.missing.add("earlier value")
            return None
        latest = max(window, key=lambda r: (r.elapsed or 0, _number(r)))
        before = self._rate(_number(latest))
        if before is None or not below(now, sign if charted else "", condition.below) or before < condition.below:
            return None
        return Evidence(
            (self.reading.row, latest.row),
            computed={"eGFR": rounded(now), "eGFR before": rounded(before)},
            thresholds={"eGFR below (mL/min/1.73m2)": condition.below},
            words=self._own_words() | {"egfr": (sign if charted else "") + shown(now.quantize(Decimal("0.1")))},
        )

    def _rate(self, value: Decimal) -> Decimal | None:
        """The filtration rate that a charted value is, or that a creatinine gives."""
        if self.measure.analyte == "filtration":
            return value
        return None if self.age_years is None else egfr(value, self.age_years, self.sex)

    def _comparable(self) -> Decimal | None:
        """The index value where it is exact or a lower bound."""
        return self.reading.value if self.reading.comparator in ("", ">", ">=") else None


def _one_code(one: Reading, other: Reading) -> bool:
    codes = {coding.code for coding in one.row.fact.codes}
    return any(coding.code in codes for coding in other.row.fact.codes)


def _number(reading: Reading) -> Decimal:
    if reading.value is None:
        raise ValueError("a reading without a value")
    return reading.value


@dataclass(slots=True)
class TableCase:
    """A result and its row of the table of limits; ``limit`` is ``None`` for a code that the table does not list."""

    name: str
    limit: LimitRow | None
    reading: Reading
    missing: set[str] = field(default_factory=set)
    counts: bool = True

    def __post_init__(self) -> None:
        if self.reading.missing:
            self.missing.add(self.reading.missing)

    @property
    def elapsed(self) -> int | None:
        return self.reading.elapsed

    def test(self, condition: Condition) -> Evidence | None:
        if isinstance(condition, Limits):
            return self._limits()
        if isinstance(condition, Interpreted):
            return _interpreted(condition, self.reading.row, {"input": self._display()}, self._part())
        if isinstance(condition, Value):
            return _value(condition, self.reading, self._unit())
        raise TypeError(type(condition).__name__)

    def key(self, by: By, evidence: Evidence) -> str:
        return evidence.part if by != "rule" else ""

    def cleared(self, by: By) -> tuple[str, ...]:
        """A number inside its limits, or a mark of the laboratory that is none of the critical ones, speaks for both sides."""
        known = self.reading.exact if self.limit is not None else bool(self.reading.row.fact.interpretation)
        if not known:
            return ()
        return tuple(f"{self._part()}|{side}" for side in ("low", "high", "marked")) if by != "rule" else ("",)

    @property
    def rows(self) -> tuple[ContextFact, ...]:
        return (self.reading.row,)

    def _limits(self) -> Evidence | None:
        value, limit, sign = self.reading.value, self.limit, self.reading.comparator
        if value is None or limit is None:
            return None
        if limit.low is not None and below(value, sign, limit.low):
            return self._outside(limit.low, "low", "below")
        beyond = at_least if limit.high_inclusive else above
        if limit.high is not None and beyond(value, sign, limit.high):
            return self._outside(limit.high, "high", "at or above" if limit.high_inclusive else "above")
        return None

    def _outside(self, bound: Decimal, side: str, direction: str) -> Evidence:
        words = {"input": self._display(), "limit": shown(bound), "direction": direction}
        return Evidence(
            (self.reading.row,),
            thresholds={f"critical {side} ({self._unit()})": bound},
            words=_words(self.reading, self._unit()) | words,
            part=f"{self._part()}|{side}",
        )

    def _unit(self) -> str:
        unit = canonical_unit(self.limit.analyte) if self.limit else ""
        return "" if unit == "1" else unit

    def _display(self) -> str:
        """Our table's name, else the LOINC code; a sender's local words stay out of the summary."""
        if self.limit is not None:
            return self.limit.display
        codes = [c.code for c in self.reading.row.fact.codes if "loinc" in c.system.lower() or c.system == "LN"]
        return f"LOINC {codes[0]}" if codes and len(codes[0]) <= 12 else "see inputs"

    def _part(self) -> str:
        return self.name or "|".join(f"{c.system} {c.code}" for c in self.reading.row.fact.codes[:1]) or self.reading.row.fact.id
