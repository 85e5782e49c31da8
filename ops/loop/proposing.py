"""Where champion and challenger differ: notes of a shadow replay proposed for review."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from agents.feedback.agent import feedback_store, sample_output, weak_of
from agents.feedback.policy import load_policy
from agents.feedback.step import Candidate, admitted, proposals_of_comparison
from agents.second_check import second_check
from ops.audited import Act, refused, replayed
from ops.loop.comparison import latest
from schemas.envelope import parse_headers
from streams import topics
from streams.producer import Producer
from streams.record import Record
from streams.replay import shadow
from streams.settings import Settings
from streams.store import connect
from streams.tail import tail


@dataclass(slots=True)
class Proposed:
    """``withheld`` by cause: ``leak``, or the budget that was full."""

    differing: int = 0
    proposed: int = 0
    withheld: Counter[str] = field(default_factory=Counter)


async def propose(settings: Settings, name: str, most: int, act: Act, *, allowed: bool) -> Proposed | None:
    """Propose the ``most`` notes whose mentions differ most between what was published and the shadow ``name``; again, the same ones.

    Returns ``None``, audited, where it is not ``allowed``. Raises BrokerUnavailable, StoreUnavailable, ConfigurationError (the policy).
    """
    log, redis = Producer(settings.kafka, client_id="wardstream-propose"), connect(settings.redis)
    try:
        if not allowed:
            await refused(log, "replay", act)
            return None
        check, found = second_check(settings.deid), Proposed()
        rows = await asyncio.to_thread(_differing, settings, name)
        found.differing = len(rows)
        clean = [row for row in rows if not check(row[1].sample.note.text)]
        found.withheld["leak"] = len(rows) - len(clean)
        chosen = sorted(clean, key=lambda row: (-row[1].ways[0].proposal.score, row[1].sample.id))[:most]
        await replayed(log, f"{name} proposed", act)
        store = feedback_store(settings, redis)
        admissions = await store.admit([candidate for _, candidate in chosen])
        answers = await store.answers([candidate.sample.id for _, candidate in chosen])
        for (record, candidate), admission, said in zip(chosen, admissions, answers, strict=True):
            if admission.proposal is None:
                found.withheld[admission.cause] += 1
                continue
            await log.produce(
                sample_output(parse_headers(record.headers), admitted(candidate.sample, admission.proposal, weak_of(said)))
            )
            found.proposed += 1
        found.withheld += Counter()  # without zeros
        return found
    finally:
        await log.close()
        await redis.aclose()


def _differing(settings: Settings, name: str) -> list[tuple[Record, Candidate]]:
    """With the record of the published decision."""
    policy = load_policy(settings.feedback.policy_file)
    challenger = latest(tail(shadow(settings.kafka, name), [topics.RAISED], to_end=True))
    champion = latest(tail(settings.kafka, [topics.RAISED], to_end=True), frozenset(challenger))
    return [
        (record, candidate)
        for origin, (record, decision) in champion.items()
        for candidate in proposals_of_comparison(decision, challenger[origin][1], policy)
    ]
