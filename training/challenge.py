"""The release gate: whether a challenger may take the champion's place. Pure: figures in, verdict out.

On the gold set and on the newest reviewed labels it must hold the champion's F1; no class and no subgroup may find less than chance
explains (``training.gate.margin_of``); it may let no more through on the leak tests, and take at most ``SLOWEST`` times as long.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from schemas.verdicts import GateVerdict, Judged, Kind
from training.gate import LEAST_SUPPORT, Scores, margin_of

#: A challenger may take this many times the champion's time on the same texts in the same run.
SLOWEST: Final = 1.2
#: Without these nothing is judged: a gate that was given nothing to look at is closed.
NEEDED: Final[tuple[Kind, ...]] = ("gold", "newest", "class", "leak", "speed")


@dataclass(frozen=True, slots=True)
class Figures:
    """One model's figures. ``gold``, ``newest``: F1 with support by set; ``classes``, ``subgroups``: recall with support by name;
    ``leaks``: what was let through, by leak test; ``seconds``: on the speed set."""

    gold: Scores
    newest: Scores
    classes: Scores
    subgroups: Scores
    leaks: Mapping[str, int]
    seconds: float


@dataclass(slots=True)
class _Court:
    judged: list[Judged] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def hear(
        self, kind: Kind, name: str, champion: float, challenger: float, allowed: float, *, more_is_better: bool = True
    ) -> None:
        worse = champion - challenger if more_is_better else challenger - champion
        passed = math.isfinite(worse) and round(worse - allowed, 6) <= 0
        row = Judged(kind=kind, name=name, champion=champion, challenger=challenger, allowed=allowed, passed=passed)
        self.judged.append(row)
        if not passed:
            self.reasons.append(f"{kind} {name}: {challenger:.4g}, the champion {champion:.4g}; {allowed:.4g} may be lost")


def challenge(
    model: str,
    champion: tuple[str, Figures],
    challenger: tuple[str, Figures],
    *,
    evidence: Mapping[str, str],
    now: datetime,
) -> GateVerdict:
    """Judge the challenger (digest and figures) against the champion (the same), measured on the same sets in the same run.

    A set that the champion was measured on and the challenger was not counts as lost. Groups with fewer than ``LEAST_SUPPORT`` gold
    mentions are not judged alone. ``evidence`` and ``now`` go into the verdict as they are.
    """
    court = _Court()
    before, after = champion[1], challenger[1]
    pairs: tuple[tuple[Kind, str, Scores, Scores], ...] = (
        ("gold", "f1", before.gold, after.gold),
        ("newest", "f1", before.newest, after.newest),
        ("class", "recall", before.classes, after.classes),
        ("subgroup", "recall", before.subgroups, after.subgroups),
    )
    for kind, figure, old, new in pairs:
        for name, row in old.items():
            support = row.get("support", 0)
            if support < LEAST_SUPPORT:
                continue
            least = 0.0 if kind in ("gold", "newest") else 0.02
            found = new.get(name, {}).get(figure, 0.0)
            court.hear(kind, name, row[figure], found, margin_of(row[figure], support, least))
    for name, leaks in before.leaks.items():
        court.hear("leak", name, leaks, after.leaks.get(name, math.inf), 0, more_is_better=False)
    allowed = before.seconds * (SLOWEST - 1)
    court.hear("speed", "seconds", before.seconds, after.seconds, allowed, more_is_better=False)
    heard = {row.kind for row in court.judged}
    court.reasons.extend(f"{kind}: nothing was measured" for kind in NEEDED if kind not in heard)
    return GateVerdict(
        model=model,
        challenger=challenger[0],
        champion=champion[0],
        passed=not court.reasons,
        reasons=tuple(court.reasons),
        judged=tuple(court.judged),
        evidence=dict(evidence),
        time=now.isoformat(timespec="seconds"),
    )
