"""The kidney's filtration rate, charted or computed from a creatinine, and a charted one beside the creatinine of its day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from agents.decide.cases.case import By, shown
from agents.decide.cases.evidence import Evidence, rounded
from agents.decide.cases.patient import Patient
from agents.decide.context import MINUTES_PER_HOUR, ContextFact
from agents.decide.form.conditions import Condition, FiltrationDiffers
from agents.decide.form.index import OnFiltration
from agents.decide.form.inputs import Measure
from agents.decide.form.rule import RuleForm
from agents.decide.reading.inputs import Reading, read_measure, readings
from agents.decide.reading.renal import egfr

#: More creatinine is less filtration: "above" of one is "below" of the other.
_TURNED = {"": "", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_NO_MORE = ("", "<", "<=")
_NO_LESS = ("", ">", ">=")
_TENTH = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class Rate:
    """A filtration rate in mL/min/1.73 m2, charted or computed from a creatinine; ``missing`` says why there is none."""

    row: ContextFact
    value: Decimal | None
    comparator: str
    missing: str = ""


def computed_rate(reading: Reading, age_years: int | None, sex: str) -> Rate:
    """By CKD-EPI 2021, from a creatinine."""
    if reading.value is None:
        return Rate(reading.row, None, "", reading.missing)
    if age_years is None:
        return Rate(reading.row, None, "", "age")
    value = egfr(reading.value, age_years, sex)
    if value is None:
        return Rate(reading.row, None, "", "age" if age_years < 18 else "sex")
    return Rate(reading.row, value, _TURNED.get(reading.comparator, "?"))


@dataclass(slots=True)
class FiltrationCase:
    """A charted rate and the rate computed from the creatinine that lies nearest to it; ``computed`` ``None``: there is no such creatinine."""

    charted: Reading
    computed: Rate | None
    missing: set[str] = field(default_factory=set)
    counts: bool = True

    def __post_init__(self) -> None:
        if self.charted.missing:
            self.missing.add(self.charted.missing)
        if self.computed is None:
            self.missing.add("creatinine of the same day")
        elif self.computed.missing:
            self.missing.add(self.computed.missing)

    @property
    def elapsed(self) -> int | None:
        beside = None if self.computed is None else self.computed.row.fact.elapsed
        return max((time for time in (self.charted.elapsed, beside) if time is not None), default=None)

    def test(self, condition: Condition) -> Evidence | None:
        """Only what is certain counts: a charted ">60" differs from 30, and may be 90."""
        if not isinstance(condition, FiltrationDiffers):
            raise TypeError(type(condition).__name__)
        computed = self.computed
        if computed is None or computed.value is None or self.charted.value is None:
            return None
        (low, low_sign), (high, high_sign) = sorted(
            ((self.charted.value, self.charted.comparator), (computed.value, computed.comparator))
        )
        if low_sign not in _NO_MORE or high_sign not in _NO_LESS:
            return None
        if low >= condition.below or high < condition.factor * low or high - low < condition.least:
            return None
        return Evidence(
            (self.charted.row, computed.row),
            computed={"eGFR charted": rounded(self.charted.value), "eGFR computed": rounded(computed.value)},
            thresholds={
                "times the lower one": condition.factor,
                "apart (mL/min/1.73m2)": condition.least,
                "lower one below (mL/min/1.73m2)": condition.below,
            },
            words={
                "value": self.charted.comparator + shown(self.charted.value),
                "egfr": computed.comparator + shown(computed.value.quantize(_TENTH)),
            },
        )

    def key(self, by: By, evidence: Evidence) -> str:
        return ""


def filtration_cases(form: RuleForm, index: OnFiltration, patient: Patient, changed: frozenset[str]) -> Iterator[FiltrationCase]:
    """Each charted rate that lies within ``index.hours`` of a value of either measure that the message changes."""
    charted, creatinine = form.inputs[index.charted], form.inputs[index.creatinine]
    assert isinstance(charted, Measure)
    assert isinstance(creatinine, Measure)
    reach = index.hours * MINUTES_PER_HOUR
    rows = [patient.context.facts[key] for key in sorted(changed) if key in patient.context.facts]
    touched = [row.fact.elapsed for row in rows if read_measure(row, charted) or read_measure(row, creatinine)]
    times = [time for time in touched if time is not None]
    if not times:
        return
    found = readings(patient.context, charted, span=(min(times) - reach, max(times) + reach))
    latest = max((one.elapsed for one in found if one.elapsed is not None), default=None)
    for one in found:
        if one.elapsed is not None and any(abs(time - one.elapsed) <= reach for time in times):
            yield FiltrationCase(one, _nearest(one, creatinine, patient, reach), counts=one.elapsed == latest)


def _nearest(charted: Reading, creatinine: Measure, patient: Patient, reach: int) -> Rate | None:
    """The creatinine nearest in time; of several at one time the one that agrees most, since the charted rate may rest on that."""
    at = charted.elapsed or 0
    near = readings(patient.context, creatinine, span=(at - reach, at + reach))
    rates = [(abs((one.elapsed or 0) - at), computed_rate(one, patient.age_years, patient.sex)) for one in near]

    def order(one: tuple[int, Rate]) -> tuple[int, bool, Decimal, str]:
        value = one[1].value
        apart = Decimal(0) if value is None or charted.value is None else abs(value - charted.value)
        return one[0], value is None, apart, one[1].row.fact.id

    return min(rates, key=order)[1] if rates else None
