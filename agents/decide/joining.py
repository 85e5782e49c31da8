"""Two tokens turn out to be one patient: the retired token's context joins the survivor's, on the survivor's clock."""

from __future__ import annotations

import msgspec

from agents.decide.context import HORIZON_HOURS, ContextFact, ContextMention, PatientContext, Raised, pruned, rank


def join(survivor: PatientContext, retired: PatientContext, delta_minutes: int) -> PatientContext:
    """Everything that is known under either token. Times of ``retired`` move by ``delta_minutes`` (``schemas.merges.Merge``).

    Joining again with what is left of the retired context (nothing) changes nothing. Where both hold one fact, the higher version
    holds; where both hold one flag, the later one stands. Age and sex are the survivor's where it knows them.
    """
    facts = dict(survivor.facts)
    for key, row in retired.facts.items():
        moved = ContextFact(msgspec.structs.replace(row.fact, elapsed=_moved(row.fact.elapsed, delta_minutes)), row.origin)
        known = facts.get(key)
        if known is None or rank(moved.fact) > rank(known.fact):
            facts[key] = moved
    mentions = {key: _at(row, delta_minutes) for key, row in retired.mentions.items()} | survivor.mentions
    raised = dict(survivor.raised)
    for key, flag in retired.raised.items():
        times = {name: _moved(getattr(flag, name), delta_minutes) for name in ("elapsed", "seen", "ended")}
        late = msgspec.structs.replace(flag, **times)
        if key not in raised or _order(late) > _order(raised[key]):
            raised[key] = late
    clocks = [time for time in (survivor.clock, _moved(retired.clock, delta_minutes)) if time is not None]
    return pruned(
        msgspec.structs.replace(
            survivor,
            facts=facts,
            mentions=mentions,
            raised=raised,
            clock=max(clocks, default=None),
            age_years=retired.age_years if survivor.age_years is None else survivor.age_years,
            sex=survivor.sex or retired.sex,
        ),
        HORIZON_HOURS,
    )


def _at(row: ContextMention, delta: int) -> ContextMention:
    return msgspec.structs.replace(row, elapsed=_moved(row.elapsed, delta))


def _moved(elapsed: int | None, delta: int) -> int | None:
    return None if elapsed is None else elapsed + delta


def _order(flag: Raised) -> tuple[bool, int, int, str]:
    return flag.elapsed is not None, flag.elapsed or 0, flag.level, flag.flag
