"""Whether messages look as they used to: a few numbers of each message, compared with those of a baseline. De-identified findings only.

Numbers are of whole messages, so that the many mentions of one note do not count as many observations. A shift is told where it is both
sure (two-sample Kolmogorov-Smirnov) and large (population stability index): each alone raises alarms that nobody can use.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.findings import Mention
from schemas.flags import Decision

#: With these a stationary stream of 100,000 messages in windows of 500 raised no alarm (``python -m benchmarks.drift``).
SURE = 1e-6
LARGE = 0.1
#: Fewer messages of a kind are not judged.
FEWEST = 200
#: Values of a feature that a baseline keeps.
KEPT = 2000
_BINS = 10
_TYPES = ("problem", "medication", "finding", "test")
_RULES = "rules/"
_Values = npt.NDArray[np.float64]


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """``values`` by kind of message and feature; ``versions``: of the models that found them; ``time`` in RFC 3339."""

    time: str
    messages: dict[str, int]
    versions: tuple[str, ...]
    values: dict[str, dict[str, tuple[float, ...]]]


@dataclass(frozen=True, slots=True)
class Shift:
    """One feature of one kind of message: medians before and now, ``psi`` (0.1 noticeable, 0.25 large by custom) and the KS test's ``p``."""

    kind: str
    feature: str
    before: float
    now: float
    psi: float
    p: float

    @property
    def alarm(self) -> bool:
        return self.p < SURE and self.psi >= LARGE


def features(decision: Decision) -> dict[str, float]:
    """Numbers of one message by name; empty without a note. What has no value in this message (a share of nothing) is left out."""
    findings = decision.findings
    length = sum(len(note.text) for note in findings.notes)
    if not length:
        return {}
    mentions = findings.mentions
    found: dict[str, float] = {
        "length": float(length),
        "mentions per 1,000 characters": 1000 * len(mentions) / length,
        "flags": float(len(decision.flags)),
    }
    scores = [mention.score for mention in mentions if not mention.source.startswith(_RULES)]
    if scores:
        found["confidence"] = sum(scores) / len(scores)
    if mentions:
        found |= {f"share of {name}": _share(mentions, name) for name in _TYPES}
        found["outside sections"] = sum(not mention.section for mention in mentions) / len(mentions)
    stated = [mention for mention in mentions if mention.type in ("problem", "finding")]
    if stated:
        found["negated"] = sum(mention.assertion.negated for mention in stated) / len(stated)
    return found


def _share(mentions: Sequence[Mention], name: str) -> float:
    return sum(mention.type == name for mention in mentions) / len(mentions)


def make_baseline(decisions: Iterable[Decision], time: str) -> Baseline:
    """Of the last ``KEPT`` messages of each kind."""
    values: dict[str, dict[str, deque[float]]] = {}
    messages: dict[str, int] = {}
    versions: dict[str, None] = {}
    for decision in decisions:
        found = features(decision)
        if not found:
            continue
        kind = decision.findings.kind
        messages[kind] = messages.get(kind, 0) + 1
        versions[decision.findings.versions.entity_model] = None
        for name, value in found.items():
            values.setdefault(kind, {}).setdefault(name, deque(maxlen=KEPT)).append(value)
    kept = {kind: {name: tuple(rows) for name, rows in named.items()} for kind, named in values.items()}
    return Baseline(time=time, messages=messages, versions=tuple(versions), values=kept)


def shifts(baseline: Baseline, now: Mapping[str, Mapping[str, Sequence[float]]]) -> list[Shift]:
    """Every feature that both sides have at least ``FEWEST`` values of, the most certain shift first."""
    found = []
    for kind, named in now.items():
        for name, rows in named.items():
            before = baseline.values.get(kind, {}).get(name, ())
            if min(len(before), len(rows)) >= FEWEST:
                found.append(compare(kind, name, before, rows))
    return sorted(found, key=lambda row: (row.p, -row.psi, row.kind, row.feature))


def compare(kind: str, feature: str, before: Sequence[float], now: Sequence[float]) -> Shift:
    one, other = np.sort(np.asarray(before, dtype=np.float64)), np.sort(np.asarray(now, dtype=np.float64))
    return Shift(kind, feature, float(np.median(one)), float(np.median(other)), round(_psi(one, other), 4), _ks(one, other))


def _psi(before: _Values, now: _Values) -> float:
    """Over the deciles of ``before``, values at an edge apart from those between (many numbers are 0 or 1); half a message is added to each
    bin, so that an empty one is not infinitely far away."""
    edges = np.unique(np.quantile(before, np.linspace(0, 1, _BINS + 1)[1:-1]))
    bins = [np.searchsorted(edges, rows, "left") + np.searchsorted(edges, rows, "right") for rows in (before, now)]
    counts = [np.bincount(rows, minlength=2 * len(edges) + 1) for rows in bins]
    used = (counts[0] + counts[1]) > 0
    expected, found = ((count[used] + 0.5) / (count[used] + 0.5).sum() for count in counts)
    return float(((found - expected) * np.log(found / expected)).sum())


def _ks(one: _Values, other: _Values) -> float:
    """p of the two-sample Kolmogorov-Smirnov test, by the asymptotic series with Stephens' correction (1970); ties make it larger."""
    points = np.concatenate((one, other))
    distance = float(
        np.abs(np.searchsorted(one, points, "right") / len(one) - np.searchsorted(other, points, "right") / len(other)).max()
    )
    size = math.sqrt(len(one) * len(other) / (len(one) + len(other)))
    scaled = (size + 0.12 + 0.11 / size) * distance
    if scaled < 0.2:
        return 1.0
    tail = 2 * math.fsum((-1.0) ** (k - 1) * math.exp(-2 * k * k * scaled * scaled) for k in range(1, 101))
    return min(1.0, max(0.0, tail))
