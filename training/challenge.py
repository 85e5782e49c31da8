"""The release gate: whether a challenger may take the champion's place. Pure: figures in, verdict out.

On the gold set and on the newest reviewed labels it must hold the champion's F1; no class and no subgroup may find less than chance
explains (two standard errors of a share); it may let no more through on the leak tests, and take at most ``SLOWEST`` times as long. Beside
the champion on the same messages it may lose few findings and flags and no message.
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
#: Shares of the published mentions and flags that may be gone in the shadow. What is gone was partly wrong, and only the labelled sets can tell;
#: this catches the model that goes silent on traffic that no set resembles.
LOST_MENTIONS: Final = 0.10
LOST_FLAGS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Figures:
    """One model's figures. ``gold``, ``newest``: F1 with support by set; ``classes``, ``subgroups``: recall with support by name;
    ``leaks``: what was let through, by leak test; ``seconds``: on the speed set; ``by_chance``: how much more two equal models would let
    through now and then, by leak test, nothing where not said."""

    gold: Scores
    newest: Scores
    classes: Scores
    subgroups: Scores
    leaks: Mapping[str, int]
    seconds: float
    by_chance: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shadow:
    """What the challenger said beside the champion on the same messages (``wardstream replay compare``).

    Attributes:
        mentions, flags: that the champion published; lost_mentions, lost_flags: of these, those that the challenger does not have.
        missing: messages that came to no decision in the shadow.
    """

    mentions: int
    lost_mentions: int
    flags: int
    lost_flags: int
    missing: int


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
    shadow: Shadow | None = None,
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
            court.hear(kind, name, row[figure], found, _margin(row[figure], support, least))
    for name, leaks in before.leaks.items():
        found = after.leaks.get(name, math.inf)
        court.hear("leak", name, leaks, found, before.by_chance.get(name, 0), more_is_better=False)
    allowed = before.seconds * (SLOWEST - 1)
    court.hear("speed", "seconds", before.seconds, after.seconds, allowed, more_is_better=False)
    if shadow is not None:
        _hear_shadow(court, shadow)
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


def _margin(share: float, number: float, least: float) -> float:
    """``margin_of`` with two hits and two misses added (Agresti and Coull 1998): a share near 1 has a binomial error near 0, as if some hundred
    mentions without a miss made the next miss impossible."""
    return margin_of((share * number + 2) / (number + 4), number + 4, least)


def _hear_shadow(court: _Court, shadow: Shadow) -> None:
    for name, lost, total, most in (
        ("mentions lost", shadow.lost_mentions, shadow.mentions, LOST_MENTIONS),
        ("flags lost", shadow.lost_flags, shadow.flags, LOST_FLAGS),
    ):
        if not total:  # a range without flags says nothing of flags; one without mentions says nothing at all
            if name == "mentions lost":
                court.reasons.append("shadow: the champion published no mention, so nothing was compared")
            continue
        court.hear("shadow", name, 0.0, lost / total, _margin(most, total, most), more_is_better=False)
    court.hear("shadow", "messages missing", 0, shadow.missing, 0, more_is_better=False)
