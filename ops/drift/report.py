"""One report of what the watch, the reviewers and the clinicians say: drift by sender and department, alarms, calibration, overrides."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from agents.feedback.drift import Baseline, Counts, Group, Shift, add, binned, given_baselines, groups_of, shifts
from agents.feedback.features import features
from agents.feedback.vocabulary import known_words
from agents.feedback.watch_store import open_store
from ops.records import records_of
from schemas.cards import CardFeedback
from schemas.drifts import Drift
from schemas.flags import Decision
from schemas.labels import ReviewedLabel
from schemas.samples import Sample
from streams import topics
from streams.settings import Settings
from training.outcomes import Overrides, Reliability, overrides, reliability

T = TypeVar("T")


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """One group: messages so far, those compared (0: the baseline is still being learned), and its features, the most certain shift first."""

    group: Group
    messages: int
    compared: int
    shifts: tuple[Shift, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """``standing``: drift that has begun and not ended; ``records``: every record told since the asked time."""

    time: str
    groups: tuple[Watched, ...]
    standing: tuple[Drift, ...]
    records: tuple[Drift, ...]
    reliability: tuple[Reliability, ...]
    overrides: tuple[Overrides, ...]

    @property
    def alarms(self) -> bool:
        return bool(self.standing) or any(row.alarm for group in self.groups for row in group.shifts)


def make_report(settings: Settings, *, baseline: Baseline | None, since: datetime | None, window: int) -> Report:
    """With ``baseline`` the newest ``window`` decisions of each group against it, else what the stage ``watch`` has counted.

    Raises BrokerUnavailable, StoreUnavailable."""
    groups, standing = _against(settings, baseline, since, window) if baseline else asyncio.run(_watched(settings))
    return Report(
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        groups=tuple(groups),
        standing=tuple(standing),
        records=tuple(records_of(settings.kafka, topics.DRIFT, Drift, since)),
        reliability=tuple(
            reliability(
                records_of(settings.kafka, topics.SAMPLE, Sample), records_of(settings.kafka, topics.LABEL, ReviewedLabel)
            )
        ),
        overrides=tuple(overrides(records_of(settings.kafka, topics.FEEDBACK, CardFeedback, since))),
    )


def decisions(settings: Settings, since: datetime | None) -> Iterator[Decision]:
    """Of deid.flag.raised.v1."""
    return records_of(settings.kafka, topics.RAISED, Decision, since)


def _against(settings: Settings, baseline: Baseline, since: datetime | None, window: int) -> tuple[list[Watched], list[Drift]]:
    known, counted = known_words(settings.models), defaultdict[Group, int](int)
    newest: dict[Group, deque[dict[str, int]]] = defaultdict(lambda: deque(maxlen=window))
    for decision in decisions(settings, since):
        bins = binned(features(decision, known))
        for group in groups_of(decision.findings) if bins else ():
            newest[group].append(bins)
            counted[group] += 1
    found = []
    for group, rows in sorted(newest.items()):
        before, now = baseline.of(group), Counts()
        for row in rows:
            add(now, row)
        compared = tuple(shifts(before.counts, now)) if before is not None else ()
        found.append(Watched(group=group, messages=counted[group], compared=len(rows) if before else 0, shifts=compared))
    return found, []


async def _watched(settings: Settings) -> tuple[list[Watched], list[Drift]]:
    """The newest full window of each group, and the block that is filling."""
    given = given_baselines(settings.watch)
    redis, store = open_store(settings)
    try:
        found = []
        for group, messages in await store.groups():
            newest = await store.newest(group)
            held = await store.load(group, newest)
            compared, now = held.window(newest)
            rows = tuple(shifts(given.get(group, held.baseline), now))
            found.append(Watched(group=group, messages=messages, compared=compared, shifts=rows))
        return found, await store.standing()
    finally:
        await redis.aclose()
