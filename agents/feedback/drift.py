"""Whether messages look as they used to: counts of their numbers, compared with those of a baseline.

A shift is told where it is both sure (two-sample Kolmogorov-Smirnov) and large (population stability index): each alone raises alarms that
nobody can use.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from agents.feedback.features import SCHEME, bins_of, features
from schemas.errors import ConfigurationError
from schemas.findings import Findings
from schemas.flags import Decision
from streams.settings import Watch

#: One message is at most two groups of some fifty features, judged every hundred messages: 100,000 messages are 100,000 tests, and
#: p under this in each is 0.1 expected false alarms over all of them (Bonferroni), before size is asked for too.
SURE = 1e-6
#: Population stability index: 0.1 is noticeable, 0.25 large by custom.
LARGE = 0.1
#: Fewer values are not judged.
FEWEST = 100
_PARTS = 10

#: Bin -> how many messages; by feature in ``Counts``.
Histogram = dict[int, int]
Counts = dict[str, Histogram]
_Numbers = npt.NDArray[np.float64]


class Group(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Messages that are compared with one another: of one sender (pseudonym), all its departments (empty) or one, one kind, and what found
    their mentions: another model's confidences are no drift, and have a baseline of their own."""

    sender: str
    department: str
    kind: str
    entity_model: str
    assertion_rules: str = ""
    policy: str = ""

    @property
    def id(self) -> str:
        """Short name in the store; says nothing."""
        return hashlib.sha256("\x1f".join((SCHEME, *msgspec.structs.astuple(self))).encode()).hexdigest()[:20]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    group: Group
    messages: int
    counts: Counts


class Baseline(msgspec.Struct, frozen=True, kw_only=True, tag="baseline.v2", tag_field="schema"):
    """Written by ``wardstream drift baseline``: numbers alone. ``time`` in RFC 3339."""

    time: str
    rows: tuple[Row, ...]

    def of(self, group: Group) -> Row | None:
        return next((row for row in self.rows if row.group == group), None)


@dataclass(frozen=True, slots=True)
class Shift:
    """One feature of one group: means before and now (of the bins' middles), ``psi`` and the KS test's ``p``."""

    feature: str
    before: float
    now: float
    psi: float
    p: float

    @property
    def alarm(self) -> bool:
        return self.p < SURE and self.psi >= LARGE


def groups_of(findings: Findings) -> tuple[Group, ...]:
    """All of the sender's messages of this kind and, where the message says from where it comes, those of the department."""
    versions = findings.versions
    departments = ("", findings.department) if findings.department else ("",)
    return tuple(
        Group(
            sender=findings.sender,
            department=department,
            kind=findings.kind,
            entity_model=versions.entity_model,
            assertion_rules=versions.assertion_rules,
            policy=versions.policy,
        )
        for department in departments
    )


def binned(numbers: Mapping[str, float]) -> dict[str, int]:
    """Bin of each number."""
    return {name: bins_of(name).of(value) for name, value in numbers.items()}


def add(counts: Counts, bins: Mapping[str, int]) -> None:
    """One message more."""
    for name, number in bins.items():
        histogram = counts.setdefault(name, {})
        histogram[number] = histogram.get(number, 0) + 1


def total(parts: Iterable[Counts]) -> Counts:
    added: Counts = {}
    for part in parts:
        for name, histogram in part.items():
            into = added.setdefault(name, {})
            for number, count in histogram.items():
                into[number] = into.get(number, 0) + count
    return added


def make_baseline(decisions: Iterable[Decision], time: str, known: frozenset[str] = frozenset()) -> Baseline:
    """Of all ``decisions`` that have a note, by group."""
    counts: dict[Group, Counts] = {}
    messages: dict[Group, int] = {}
    for decision in decisions:
        found = binned(features(decision, known))
        for group in groups_of(decision.findings) if found else ():
            messages[group] = messages.get(group, 0) + 1
            add(counts.setdefault(group, {}), found)
    return Baseline(
        time=time, rows=tuple(Row(group=group, messages=messages[group], counts=counts[group]) for group in sorted(counts))
    )


def read_baseline(path: Path) -> Baseline:
    """Raises ConfigurationError when the file is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Baseline)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        raise ConfigurationError(path="watch.baseline", detail="no baseline that wardstream drift baseline wrote") from None


def given_baselines(own: Watch) -> dict[Group, Counts]:
    """Of the file that the settings name, if any. Raises ConfigurationError."""
    return {} if own.baseline is None else {row.group: row.counts for row in read_baseline(own.baseline).rows}


def shifts(before: Counts, now: Counts) -> list[Shift]:
    """Every feature that both sides have at least ``FEWEST`` values of, the most certain shift first."""
    found = [
        compare(name, before[name], histogram)
        for name, histogram in now.items()
        if min(sum(before.get(name, {}).values()), sum(histogram.values())) >= FEWEST
    ]
    return sorted(found, key=lambda row: (row.p, -row.psi, row.feature))


def compare(feature: str, before: Histogram, now: Histogram) -> Shift:
    """Both with at least one value."""
    bins = sorted({*before, *now})
    one, other = (np.array([side.get(number, 0) for number in bins], dtype=np.float64) for side in (before, now))
    middles = np.array([bins_of(feature).middle(number) for number in bins])
    means = [float((side * middles).sum() / side.sum()) for side in (one, other)]
    return Shift(feature, means[0], means[1], round(_psi(one, other), 4), _ks(one, other))


def _psi(before: _Numbers, now: _Numbers) -> float:
    """Over about ten parts of ``before``: a bin with a tenth of it is a part of its own, runs of lighter ones are taken together. Half a
    message is added to each part, so that an empty one is not infinitely far away."""
    parts: list[list[float]] = [[0.0, 0.0]]
    enough = before.sum() / _PARTS
    for old, new in zip(before.tolist(), now.tolist(), strict=True):
        if old >= enough or parts[-1][0] >= enough:
            parts.append([0.0, 0.0])
        parts[-1][0] += old
        parts[-1][1] += new
    counts = np.array([part for part in parts if any(part)]) + 0.5
    expected, found = (counts / counts.sum(axis=0)).T
    return float(((found - expected) * np.log(found / expected)).sum())


def _ks(one: _Numbers, other: _Numbers) -> float:
    """p of the two-sample Kolmogorov-Smirnov test, by the asymptotic series with Stephens' correction (1970); ties make it larger."""
    distance = float(np.abs(np.cumsum(one) / one.sum() - np.cumsum(other) / other.sum()).max())
    size = math.sqrt(one.sum() * other.sum() / (one.sum() + other.sum()))
    scaled = (size + 0.12 + 0.11 / size) * distance
    if scaled < 0.2:
        return 1.0
    tail = 2 * math.fsum((-1.0) ** (k - 1) * math.exp(-2 * k * k * scaled * scaled) for k in range(1, 101))
    return min(1.0, max(0.0, tail))
