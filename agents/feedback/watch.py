"""When drift begins and when it has ended: the pure part of the stage ``watch``.

Messages of a group are counted in blocks of ``STEP``; with each that is full the newest ``BLOCKS`` of them are compared with the baseline.
What was told at a block is kept with the group's state, so that a message that comes again tells the same again and nothing else.
"""

from __future__ import annotations

from typing import Final

import msgspec

from agents.feedback.drift import Counts, Group, Shift, shifts
from schemas.drifts import Drift
from schemas.ids import derived_id

STAGE: Final = "watch"
#: Messages between two comparisons, and how many such blocks a window has.
STEP: Final = 100
BLOCKS: Final = 5
#: Fewer messages in a window are not judged.
FEWEST_MESSAGES: Final = 2 * STEP
#: Drift has ended when it was not seen, even at a lower bar, in so many comparisons in a row.
_CALM: Final = 3
_STILL_SURE, _STILL_LARGE = 1e-3, 0.05
#: Comparisons whose records are kept, for messages that come again.
_TOLD: Final = 10


class Standing(msgspec.Struct, frozen=True):
    """Drift that has begun: the record that said so, and for how many comparisons it has not been seen."""

    record: Drift
    calm: int = 0


class State(msgspec.Struct, frozen=True):
    """Of one group. ``judged``: the newest block; ``told``: block -> records; ``standing`` by feature."""

    judged: int = -1
    standing: dict[str, Standing] = {}
    told: dict[int, tuple[Drift, ...]] = {}


def judge(group: Group, state: State, block: int, time: str, before: Counts, now: Counts, messages: int) -> State:
    """The state after ``block`` is full. ``now`` are the counts of ``messages`` in the blocks up to it, ``time`` when its last message came."""
    if block <= state.judged:
        return state
    found = {row.feature: row for row in shifts(before, now)} if messages >= FEWEST_MESSAGES else {}
    standing: dict[str, Standing] = {}
    records: list[Drift] = []
    for feature, row in sorted(found.items()):
        held = state.standing.get(feature)
        if held is None and row.alarm:
            held = Standing(_record(group, row, messages, block, time))
            records.append(held.record)
        elif held is not None:
            calm = 0 if row.p < _STILL_SURE and row.psi >= _STILL_LARGE else held.calm + 1
            if calm >= _CALM:
                records.append(_record(group, row, messages, block, time, held.record))
                held = None
            else:
                held = Standing(held.record, calm)
        if held is not None:
            standing[feature] = held
    unseen = {feature: held for feature, held in state.standing.items() if feature not in found}
    told = {number: rows for number, rows in state.told.items() if number > block - _TOLD}
    return State(block, unseen | standing, told | {block: tuple(records)} if records else told)


def _record(group: Group, row: Shift, messages: int, block: int, time: str, begun: Drift | None = None) -> Drift:
    """That drift began or, with the record of its beginning, that it has ended. The time is part of the id because a group that was forgotten
    counts its blocks anew."""
    identity = derived_id(group.id if begun is None else begun.id, STAGE, ordinal=f"{row.feature}:{block}:{time}")
    return Drift(
        id=identity,
        begun=identity if begun is None else begun.id,
        state="begun" if begun is None else "ended",
        time=time,
        since=time if begun is None else begun.since,
        feature=row.feature,
        before=round(row.before, 4),
        now=round(row.now, 4),
        psi=row.psi,
        p=row.p,
        messages=messages,
        **msgspec.structs.asdict(group),
    )
