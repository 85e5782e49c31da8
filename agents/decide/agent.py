"""The stage: ``deid.findings.extracted.v1`` -> ``deid.flag.raised.v1``. Binds the pure step to envelopes, contexts and topics."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from agents.decide.step import STAGE, Decider, Outcome, make_decider
from agents.decide.store import Change, ContextStore, Held, RedisContextStore
from schemas.envelope import JSON, DataClass, Envelope, parse_headers
from schemas.errors import Poison, Reason, SchemaMismatch, StoreUnavailable
from schemas.findings import Findings
from schemas.flags import Decision
from streams import topics
from streams.record import Output, Record, decoded
from streams.settings import Settings
from streams.stage import Done, Refused
from streams.stage import Outcome as StageOutcome
from streams.store import Store, connect

#: How often a batch is decided again because another worker wrote a patient's context meanwhile.
_ATTEMPTS = 5
_DECODER = msgspec.json.Decoder(Findings)


@dataclass(frozen=True, slots=True)
class _Message:
    envelope: Envelope
    findings: Findings
    decision_id: str


class DecideStage:
    """See ``streams.stage.Stage``. Messages of one patient are decided in the order of the batch, each seeing the ones before."""

    name = STAGE

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._redis: Store | None = None
        self._contexts: ContextStore | None = None
        self._decider: Decider | None = None
        # The runner works on several batches at once; a patient's messages must still be decided in order.
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Raises ConfigurationError when a rule or the site's table is wrong."""
        self._decider = await asyncio.to_thread(make_decider, self._settings)
        self._redis = connect(self._settings.redis)
        self._contexts = RedisContextStore(
            self._redis,
            prefix=self._settings.kafka.topic_prefix,
            context_ttl_s=self._settings.decide.context_ttl_days * 86_400,
        )

    async def process(self, records: Sequence[Record]) -> Sequence[StageOutcome]:
        if self._decider is None or self._contexts is None:
            raise RuntimeError("process before open")
        read = [_read(record, self._decider) for record in records]
        messages = [row for row in read if isinstance(row, _Message)]
        async with self._turn:
            decisions = await self._decide(messages, self._decider, self._contexts)
        outcomes: list[StageOutcome] = []
        for record, row in zip(records, read, strict=True):
            if isinstance(row, Poison):
                outcomes.append(Refused(row))
            else:
                outcomes.append(Done((_output(record, row.envelope, decisions[row.decision_id]),)))
        return outcomes

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()
        if self._decider is not None:
            self._decider.close()
        self._redis = self._contexts = self._decider = None

    async def _decide(self, messages: list[_Message], decider: Decider, store: ContextStore) -> dict[str, Decision]:
        """Decisions by id. Raises StoreUnavailable when the contexts cannot be read or keep changing under us."""
        made: dict[str, Decision] = {}
        pending = messages
        for _ in range(_ATTEMPTS):
            if not pending:
                return made
            subjects = list(dict.fromkeys(message.findings.subject for message in pending))
            held, known = await store.load(subjects, [message.decision_id for message in pending])
            decisions, changes = await asyncio.to_thread(_run, pending, decider, held, known)
            conflicts = await store.commit(changes)
            made |= {m.decision_id: decisions[m.decision_id] for m in pending if m.findings.subject not in conflicts}
            pending = [message for message in pending if message.findings.subject in conflicts]
        raise StoreUnavailable(Reason.STORE_UNAVAILABLE, path="context")


def _run(
    messages: Sequence[_Message], decider: Decider, held: dict[str, Held], known: dict[str, Outcome]
) -> tuple[dict[str, Decision], list[Change]]:
    """Decide in order; what was decided before keeps its outcome and leaves the context alone."""
    decisions: dict[str, Decision] = {}
    contexts = {subject: row.context for subject, row in held.items()}
    fresh: dict[str, dict[str, Outcome]] = {}
    for message in messages:
        findings, name = message.findings, message.decision_id
        if name in decisions:
            continue
        if name in known:
            decisions[name] = decider.restore(findings, known[name])
            continue
        decision, contexts[findings.subject] = decider.decide(findings, contexts[findings.subject])
        decisions[name] = decision
        fresh.setdefault(findings.subject, {})[name] = Outcome(
            decision.flags, decision.evaluated, decision.triage, decision.opinions
        )
    changes = [Change(subject, held[subject].revision, contexts[subject], rows) for subject, rows in fresh.items()]
    return decisions, changes


def _read(record: Record, decider: Decider) -> _Message | Poison:
    try:
        envelope = parse_headers(record.headers)
        envelope.require(DataClass.INTERNAL)
        findings = decoded(record.value, _DECODER)
        if not findings.subject or findings.subject != envelope.subject:
            raise SchemaMismatch(Reason.SCHEMA_MISMATCH, path="ce_subject")
    except Poison as error:
        return error
    return _Message(envelope, findings, decider.decision_id(findings))


def _output(record: Record, envelope: Envelope, decision: Decision) -> Output:
    versions = decision.findings.versions
    headers = msgspec.structs.replace(
        envelope,
        id=decision.id,
        source=f"/agents/{STAGE}",
        type=topics.BY_NAME[topics.RAISED].event_type,
        content_type=JSON,
        model="+".join(part for part in (envelope.model, versions.flag_rules) if part),
    ).headers()
    return Output(topics.RAISED, record.key, msgspec.json.encode(decision, order="deterministic"), headers)


def build(settings: Settings) -> DecideStage:
    """The stage under these settings; nothing is loaded before ``open``."""
    return DecideStage(settings)
