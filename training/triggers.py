"""When a model is trained anew. Pure: what happened since the last run in, the reason or nothing out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.runs import Trigger


@dataclass(frozen=True, slots=True)
class Policy:
    """``labels``: reviewed labels since the last run that start one (0: their number starts none); ``days`` after which one starts (0: never);
    ``drift``: whether a drift that was seen starts one."""

    labels: int
    days: float
    drift: bool


@dataclass(frozen=True, slots=True)
class Since:
    """What there is since the last run began; ``last`` is None where there was none, and then everything counts."""

    last: datetime | None
    labels: int
    drifted: bool


def due(policy: Policy, since: Since, now: datetime) -> Trigger | None:
    """Why a run should begin now. No reason begins one without a single new label: it would learn nothing new."""
    if not since.labels:
        return None
    if policy.drift and since.drifted:
        return "drift"
    if policy.labels and since.labels >= policy.labels:
        return "labels"
    if policy.days and since.last is not None and now - since.last >= timedelta(days=policy.days):
        return "schedule"
    return None
