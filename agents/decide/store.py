"""Where patient contexts and the outcomes of messages are kept: memory for offline use and tests, Redis for the stream.

A message's outcome and the context that holds its effect are written together or not at all. A message that comes again (redelivery,
replay under the same versions) therefore gets the outcome of the first time and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from agents.decide.context import PatientContext
from agents.decide.step import Outcome
from streams.store import Store

#: As long as a record can be redelivered or replayed from the input topic (its retention).
OUTCOME_TTL_S = 14 * 86_400

_CONTEXT = msgspec.msgpack.Decoder(PatientContext)
_OUTCOME = msgspec.msgpack.Decoder(Outcome)
_ENCODER = msgspec.msgpack.Encoder()

#: KEYS: context, index of outcomes, outcome... ARGV: expected revision, context, context TTL, outcome TTL, outcome...
#: Answers 0 without writing anything when somebody else wrote the context in between (a worker that lost its partition). The index names the
#: outcomes that a patient has, by the second at which they expire, so that an erasure finds them.
_COMMIT = """
local revision = tonumber(redis.call('HGET', KEYS[1], 'r') or '0')
if revision ~= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'r', revision + 1, 'c', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
for i = 3, #KEYS do
  redis.call('SET', KEYS[i], ARGV[i + 2], 'EX', ARGV[4])
  redis.call('ZADD', KEYS[2], now + tonumber(ARGV[4]), KEYS[i])
end
redis.call('EXPIRE', KEYS[2], ARGV[4])
return 1
"""


#: KEYS: context of survivor and of the retired token, index of survivor and of the retired token. ARGV: the two expected revisions,
#: the joined context, context TTL, outcome TTL. One step: the retired context is gone exactly when the survivor's holds it.
_MERGE = """
for i = 1, 2 do
  if tonumber(redis.call('HGET', KEYS[i], 'r') or '0') ~= tonumber(ARGV[i]) then return 0 end
end
redis.call('HSET', KEYS[1], 'r', tonumber(ARGV[1]) + 1, 'c', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
for i = 0, redis.call('ZCARD', KEYS[4]) - 1 do
  local row = redis.call('ZRANGE', KEYS[4], i, i, 'WITHSCORES')
  redis.call('ZADD', KEYS[3], row[2], row[1])
end
redis.call('EXPIRE', KEYS[3], ARGV[5])
redis.call('DEL', KEYS[2], KEYS[4])
return 1
"""


@dataclass(frozen=True, slots=True)
class Held:
    """A context as it was loaded; ``revision`` 0 is a patient not seen before."""

    context: PatientContext
    revision: int


@dataclass(frozen=True, slots=True)
class Change:
    """What one batch made of one patient: written only if the context is still at ``revision``."""

    subject: str
    revision: int
    context: PatientContext
    outcomes: dict[str, Outcome]


class ContextStore(Protocol):
    async def load(self, subjects: Sequence[str], decisions: Sequence[str]) -> tuple[dict[str, Held], dict[str, Outcome]]:
        """Contexts by subject (every one, new patients empty) and the outcomes that are kept by decision id."""

    async def commit(self, changes: Sequence[Change]) -> frozenset[str]:
        """Write each change whole; subjects whose context had moved on are answered and must be decided again."""

    async def merge(self, survivor: Change, retired: str, revision: int) -> bool:
        """Write the survivor's joined context and erase the retired one, which must still be at ``revision``; its outcomes go to the
        survivor, so that an erasure finds them. ``False``, and nothing written, when one of the two had moved on."""

    async def forget(self, subject: str) -> None:
        """Erase a patient's context and the outcomes of the patient's messages."""


class MemoryContextStore:
    """Contexts for as long as the object lives."""

    def __init__(self) -> None:
        self._contexts: dict[str, Held] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._outcomes_of: dict[str, set[str]] = {}

    async def load(self, subjects: Sequence[str], decisions: Sequence[str]) -> tuple[dict[str, Held], dict[str, Outcome]]:
        contexts = {subject: self._contexts.get(subject, Held(PatientContext(), 0)) for subject in subjects}
        return contexts, {key: self._outcomes[key] for key in decisions if key in self._outcomes}

    async def commit(self, changes: Sequence[Change]) -> frozenset[str]:
        conflicts = set()
        for change in changes:
            held = self._contexts.get(change.subject)
            if (held.revision if held else 0) != change.revision:
                conflicts.add(change.subject)
                continue
            self._contexts[change.subject] = Held(change.context, change.revision + 1)
            self._outcomes.update(change.outcomes)
            self._outcomes_of.setdefault(change.subject, set()).update(change.outcomes)
        return frozenset(conflicts)

    async def merge(self, survivor: Change, retired: str, revision: int) -> bool:
        empty = Held(PatientContext(), 0)
        now = self._contexts.get(survivor.subject, empty).revision, self._contexts.get(retired, empty).revision
        if now != (survivor.revision, revision):
            return False
        self._contexts[survivor.subject] = Held(survivor.context, survivor.revision + 1)
        self._contexts.pop(retired, None)
        self._outcomes_of.setdefault(survivor.subject, set()).update(self._outcomes_of.pop(retired, set()))
        return True

    async def forget(self, subject: str) -> None:
        self._contexts.pop(subject, None)
        for decision in self._outcomes_of.pop(subject, ()):
            self._outcomes.pop(decision, None)


class RedisContextStore:
    """One hash per patient (``c:<token>``), one string per outcome (``d:<decision id>``), and which outcomes are whose (``o:<token>``), all with
    an expiry.

    Args:
        store: a client of ``streams.store``, which turns transport errors into ``StoreUnavailable``.
        prefix: puts installations (and shadow replays) beside each other.
        context_ttl_s: how long after the last message a patient's context is kept.
    """

    def __init__(self, store: Store, *, prefix: str = "", context_ttl_s: int = 400 * 86_400, outcome_ttl_s: int = OUTCOME_TTL_S):
        self._store = store
        self._prefix = prefix
        self._context_ttl_s = context_ttl_s
        self._outcome_ttl_s = outcome_ttl_s

    async def load(self, subjects: Sequence[str], decisions: Sequence[str]) -> tuple[dict[str, Held], dict[str, Outcome]]:
        pipeline = self._store.pipeline(transaction=False)
        for subject in subjects:
            pipeline.hmget(self._context_key(subject), "r", "c")
        for decision in decisions:
            pipeline.get(self._outcome_key(decision))
        rows = await pipeline.execute()
        contexts = {}
        for subject, (revision, raw) in zip(subjects, rows[: len(subjects)], strict=True):
            contexts[subject] = Held(_CONTEXT.decode(raw), int(revision)) if raw is not None else Held(PatientContext(), 0)
        outcomes = {
            decision: _OUTCOME.decode(raw)
            for decision, raw in zip(decisions, rows[len(subjects) :], strict=True)
            if raw is not None
        }
        return contexts, outcomes

    async def commit(self, changes: Sequence[Change]) -> frozenset[str]:
        if not changes:
            return frozenset()
        pipeline = self._store.pipeline(transaction=False)
        for change in changes:
            keys = [
                self._context_key(change.subject),
                self._index_key(change.subject),
                *(self._outcome_key(key) for key in change.outcomes),
            ]
            values = [_ENCODER.encode(outcome) for outcome in change.outcomes.values()]
            context = _ENCODER.encode(change.context)
            pipeline.eval(_COMMIT, len(keys), *keys, change.revision, context, self._context_ttl_s, self._outcome_ttl_s, *values)
        answers = await pipeline.execute()
        return frozenset(change.subject for change, answer in zip(changes, answers, strict=True) if answer != 1)

    async def merge(self, survivor: Change, retired: str, revision: int) -> bool:
        subjects = (survivor.subject, retired)
        keys = [*(self._context_key(one) for one in subjects), *(self._index_key(one) for one in subjects)]
        context = _ENCODER.encode(survivor.context)
        pipeline = self._store.pipeline(transaction=False)
        pipeline.eval(_MERGE, 4, *keys, survivor.revision, revision, context, self._context_ttl_s, self._outcome_ttl_s)
        [answer] = await pipeline.execute()
        return bool(answer == 1)

    async def forget(self, subject: str) -> None:
        index = self._index_key(subject)
        outcomes = await self._store.zrange(index, 0, -1)
        await self._store.delete(self._context_key(subject), *outcomes, index)

    def _index_key(self, subject: str) -> str:
        return f"{self._prefix}o:{subject}"

    def _context_key(self, subject: str) -> str:
        return f"{self._prefix}c:{subject}"

    def _outcome_key(self, decision: str) -> str:
        return f"{self._prefix}d:{decision}"
