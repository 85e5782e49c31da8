"""What the feedback stage remembers in Redis: how much of each day's budget is spent, what was rare, and notes that wait for the answer to a card.

Everything is written so that a message that comes again changes nothing and gets the answer of the first time, and everything expires.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Final, NamedTuple

import msgspec

from agents.feedback.policy import Policy
from agents.feedback.reasons import Seen, folded, is_unlinked_name
from agents.feedback.step import Candidate, Limit, Proposal
from schemas.cards import Outcome
from schemas.findings import MENTION_TYPES, Findings
from schemas.samples import Sample
from streams.drift_marks import place
from streams.store import Store, StorePipeline

_DAY_S: Final = 86_400
#: As long as a decision can be redelivered from its topic (its retention), and two days more.
BUDGET_TTL_S: Final = 16 * _DAY_S
#: Days of notes that a type's share is taken over; their counts outlive the last message that asks for them.
_DAYS: Final = 7
_COUNTS_TTL_S: Final = BUDGET_TTL_S + (_DAYS + 1) * _DAY_S
_SENDER_TTL_S: Final = 400 * _DAY_S
_NAME_TTL_S: Final = 90 * _DAY_S

#: KEYS: proposals of the day by sample id, its counters. ARGV: lifetime, sample id, ways as JSON: each a proposal with its limits.
#: The first way whose every counter has room pays. What was admitted before is answered as it was then. Answers {1, proposal}, or {0, cause}.
_ADMIT = """
local held = redis.call('HGET', KEYS[1], ARGV[2])
if held then return {1, held} end
local cause = ''
for _, way in ipairs(cjson.decode(ARGV[3])) do
  local full = nil
  for _, limit in ipairs(way[2]) do
    if not full and tonumber(redis.call('HGET', KEYS[2], limit[2]) or '0') >= limit[3] then full = limit[1] end
  end
  if not full then
    for _, limit in ipairs(way[2]) do redis.call('HINCRBY', KEYS[2], limit[2], 1) end
    redis.call('HSET', KEYS[1], ARGV[2], way[1])
    redis.call('EXPIRE', KEYS[1], ARGV[1])
    redis.call('EXPIRE', KEYS[2], ARGV[1])
    return {1, way[1]}
  end
  cause = full
end
return {0, cause}
"""

#: KEYS: a set. ARGV: lifetime, most, member. Whether the member is among the first ``most``; asked again, the same.
_FIRST = """
local known = redis.call('SISMEMBER', KEYS[1], ARGV[3])
if known == 0 and redis.call('SCARD', KEYS[1]) < tonumber(ARGV[2]) then known = redis.call('SADD', KEYS[1], ARGV[3]) end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return known
"""

_PROPOSAL = msgspec.json.Decoder(Proposal)


class Kept(msgspec.Struct, frozen=True):
    """Notes behind a flag, without a reason yet; ``time``: instant of receipt of their message (RFC 3339)."""

    time: str
    samples: tuple[Sample, ...]


_KEPT = msgspec.json.Decoder(Kept)


class Answer(msgspec.Struct, frozen=True):
    """What a clinician did with a card, when (RFC 3339), and the reason's code."""

    time: str
    outcome: Outcome
    reason: str = ""


_ANSWER = msgspec.json.Decoder(Answer)


class Admission(NamedTuple):
    """``proposal`` None: no budget had room, and ``cause`` says which was full (day, reason, sender, patient, random;
    empty where none was asked)."""

    proposal: Proposal | None
    cause: str = ""


class FeedbackStore:
    """Methods raise StoreUnavailable. ``prefix`` puts installations beside each other; ``cards_s``: how long a card may be answered."""

    def __init__(self, redis: Store, *, prefix: str = "", cards_s: int = 14 * _DAY_S) -> None:
        self._redis, self._prefix, self._cards_s = redis, prefix, cards_s
        self._budget_s = max(BUDGET_TTL_S, cards_s + 2 * _DAY_S)
        self._rare_types: dict[tuple[str, str], frozenset[str]] = {}

    async def look(self, messages: Sequence[Findings], policy: Policy) -> list[Seen]:
        """What was seen before each message; counts the messages."""
        for day in {message.time[:10] for message in messages}:
            await self._load_rare_types(day, policy)
        pipe = self._redis.pipeline(transaction=False)
        asked: list[list[str]] = []
        counted: dict[str, list[str]] = {}
        for message in messages:
            if message.sender:
                self._first(pipe, f"f:s:{message.sender}", message.id, policy.new_sender.messages, _SENDER_TTL_S)
            pipe.exists(place(message.sender, message.kind))
            names = sorted({folded(mention) for mention in message.mentions if is_unlinked_name(mention)})
            asked.append(names)
            for name in names:
                digest = hashlib.sha256(name.encode()).hexdigest()[:16]
                self._first(pipe, f"f:m:{digest}", message.id, policy.rare.name_notes, _NAME_TTL_S)
            for kind in ("notes", *{mention.type for mention in message.mentions}) if message.notes else ():
                counted.setdefault(self._count_key(message.time[:10], kind), []).append(message.id)
        for key, ids in counted.items():
            pipe.pfadd(key, *ids)
            pipe.expire(key, _COUNTS_TTL_S)
        answers = iter(await pipe.execute())
        found = []
        for message, names in zip(messages, asked, strict=True):
            new = bool(next(answers)) if message.sender else False
            drifting = bool(next(answers))
            rare = frozenset(name for name in names if next(answers))
            found.append(Seen(new, drifting, self._rare_types[message.time[:10], policy.selection], rare))
        return found

    async def admit(self, wanted: Sequence[Candidate]) -> list[Admission]:
        """Ask the budgets for each candidate, in order."""
        if not wanted:
            return []
        pipe = self._redis.pipeline(transaction=False)
        for one in wanted:
            ways = [[msgspec.json.encode(way.proposal).decode(), [_row(limit) for limit in way.limits]] for way in one.ways]
            keys = (f"{self._prefix}f:a:{one.day}", f"{self._prefix}f:b:{one.day}")
            pipe.eval(_ADMIT, 2, *keys, self._budget_s, one.sample.id, msgspec.json.encode(ways))
        return [
            Admission(_PROPOSAL.decode(said)) if taken else Admission(None, said.decode()) for taken, said in await pipe.execute()
        ]

    async def keep(self, rows: Iterable[tuple[str, Kept]]) -> None:
        """Notes by the flag whose card may be answered."""
        pipe = self._redis.pipeline(transaction=False)
        for flag, kept in rows:
            key = self._card_key(flag)
            pipe.set(key, msgspec.json.encode(kept), ex=self._cards_s)
            self._index(pipe, kept.samples[0].subject, key)
        if len(pipe):
            await pipe.execute()

    async def kept(self, cards: Sequence[str]) -> list[Kept | None]:
        """What was kept for each card; nothing for one that was on a draft order, has expired, or whose patient was erased."""
        rows = await self._redis.mget([self._card_key(card) for card in cards]) if cards else []
        return [None if row is None else _KEPT.decode(row) for row in rows]

    async def answers(self, samples: Sequence[str]) -> list[dict[str, Answer]]:
        """What clinicians did with the flags of each sample, by flag."""
        pipe = self._redis.pipeline(transaction=False)
        for name in samples:
            pipe.hgetall(self._answers_key(name))
        rows = await pipe.execute() if samples else []
        return [{flag.decode(): _ANSWER.decode(value) for flag, value in row.items()} for row in rows]

    async def answer(self, sample: Sample, flag: str, answer: Answer) -> None:
        """Keep the answer; a flag has one, and the caller keeps the newest."""
        key = self._answers_key(sample.id)
        pipe = self._redis.pipeline(transaction=False)
        pipe.hset(key, flag, msgspec.json.encode(answer))
        pipe.expire(key, self._cards_s)
        self._index(pipe, sample.subject, key)
        await pipe.execute()

    async def forget(self, subject: str) -> None:
        """Delete the notes and answers that are kept of a patient."""
        name = self._index_key(subject)
        await self._redis.delete(*await self._redis.smembers(name), name)

    def _index(self, pipe: StorePipeline, subject: str, key: str) -> None:
        """So that an erasure finds it."""
        pipe.sadd(self._index_key(subject), key)
        pipe.expire(self._index_key(subject), self._cards_s)

    def _first(self, pipe: StorePipeline, key: str, member: str, most: int, ttl_s: int) -> None:
        pipe.eval(_FIRST, 1, f"{self._prefix}{key}", ttl_s, most, member)

    async def _load_rare_types(self, day: str, policy: Policy) -> None:
        """The days before are over: what was rare in them is asked for once a process."""
        if (day, policy.selection) in self._rare_types:
            return
        days = _days_before(day)
        pipe = self._redis.pipeline(transaction=False)
        for kind in ("notes", *MENTION_TYPES):
            pipe.pfcount(*(self._count_key(each, kind) for each in days))
        total, *counts = await pipe.execute() if days else [0]
        enough = total >= max(1, policy.rare.notes_before)
        rare = {
            kind for kind, count in zip(MENTION_TYPES, counts, strict=False) if count / max(1, total) < policy.rare.types_below
        }
        if len(self._rare_types) > 100:
            self._rare_types.clear()
        self._rare_types[day, policy.selection] = frozenset(rare) if enough else frozenset()

    def _count_key(self, day: str, kind: str) -> str:
        return f"{self._prefix}f:n:{day}:{kind}"

    def _card_key(self, flag: str) -> str:
        return f"{self._prefix}f:k:{flag}"

    def _answers_key(self, sample: str) -> str:
        return f"{self._prefix}f:w:{sample}"

    def _index_key(self, subject: str) -> str:
        return f"{self._prefix}f:t:{subject}"


def _row(limit: Limit) -> tuple[str, str, int]:
    return limit.cause, limit.counter, limit.most


def _days_before(day: str) -> list[str]:
    try:
        first = date.fromisoformat(day)
    except ValueError:
        return []
    return [(first - timedelta(days=n)).isoformat() for n in range(1, _DAYS + 1)]
