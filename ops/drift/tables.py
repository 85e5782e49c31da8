"""The drift report as tables, for the terminal and the page alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents.feedback.drift import LARGE, Group
from ops.drift.report import Report, Watched
from schemas.drifts import Drift
from training.outcomes import Share

#: Shifts that are shown where they are no alarm: half as large as one that is, and unlikely to be chance.
_WORTH_SHOWING, _UNLIKELY = LARGE / 2, 1e-3
_MOST_RECORDS = 50


@dataclass(frozen=True, slots=True)
class Part:
    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def tables(report: Report) -> list[Part]:
    """Every part, those without rows too; the gravest first."""
    place = ("sender", "department", "kind")
    return [
        Part(
            "Drift that stands",
            (*place, "feature", "before", "then", "PSI", "p", "since"),
            [(*_drift(row), row.since) for row in report.standing],
        ),
        Part(
            "Messages by sender and department",
            (*place, "model", "messages", "compared", "state", "most shifted", "PSI", "p"),
            [_watched(row) for row in report.groups],
        ),
        Part(
            "Features that differ from the baseline",
            (*place, "feature", "before", "now", "PSI", "p", ""),
            [
                (*_place(group.group), row.feature, *_figures(row.before, row.now, row.psi, row.p), "shifted" if row.alarm else "")
                for group in report.groups
                for row in group.shifts
                if row.alarm or (row.psi >= _WORTH_SHOWING and row.p < _UNLIKELY)
            ],
        ),
        Part(
            "Alarms told",
            (*place, "feature", "before", "then", "PSI", "p", "state", "time"),
            [(*_drift(row), row.state, row.time) for row in sorted(report.records, key=lambda row: row.time)[-_MOST_RECORDS:]],
        ),
        Part(
            "Scores against reviewed labels",
            ("model", "type", "samples", "notes", "mentions", "right", "95 %", "calibration error", "Brier"),
            [
                (
                    row.entity_model, row.type, "by chance" if row.drawn else "chosen", str(row.notes), str(row.right.of),
                    *_share(row.right), f"{row.ece:.3f}", f"{row.brier:.3f}",
                )
                for row in report.reliability
            ],
        ),
        Part(
            "Cards that clinicians set aside",
            ("flag", "answered", "overridden", "95 %", "reasons"),
            [
                (row.type, str(row.overridden.of), *_share(row.overridden), ", ".join(f"{why} {n}" for why, n in row.reasons.items()))
                for row in report.overrides
            ],
        ),
    ]  # fmt: skip


def _place(group: Group | Drift) -> tuple[str, str, str]:
    return group.sender or "not said", group.department or "all", group.kind


def _figures(before: float, now: float, psi: float, p: float) -> tuple[str, str, str, str]:
    return f"{before:.3g}", f"{now:.3g}", f"{psi:.2f}", f"{p:.2g}"


def _drift(row: Drift) -> tuple[str, ...]:
    return (*_place(row), row.feature, *_figures(row.before, row.now, row.psi, row.p))


def _share(share: Share) -> tuple[str, str]:
    return f"{share.value:.1%}", f"{share.low:.1%} to {share.high:.1%}"


def _watched(row: Watched) -> tuple[str, ...]:
    alarms = sum(shift.alarm for shift in row.shifts)
    state = "learning" if not row.compared else f"{alarms} shifted" if alarms else "as before" if row.shifts else "too few yet"
    most = max(row.shifts, key=lambda shift: shift.psi, default=None)
    shown = ("", "", "") if most is None else (most.feature, f"{most.psi:.2f}", f"{most.p:.2g}")
    return *_place(row.group), row.group.entity_model, str(row.messages), str(row.compared), state, *shown
