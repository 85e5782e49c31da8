"""The stage: ``deid.flag.raised.v1`` -> ``train.sample.proposed.v1``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from agents.feedback.policy import load_policy
from agents.feedback.reasons import Seen
from agents.feedback.step import STAGE, Candidate, Check, admitted, candidates, flagged
from agents.feedback.store import Answer, FeedbackStore, Kept
from schemas.cards import Outcome as CardOutcome
from schemas.envelope import JSON, DataClass, Envelope, parse_headers
from schemas.errors import Poison, Reason, SchemaMismatch
from schemas.flags import Decision
from schemas.samples import Sample
from streams import topics
from streams.health import Health
from streams.metrics import StreamMetrics
from streams.record import Output, Record
from streams.settings import Settings
from streams.stage import Done, Outcome, Refused
from streams.store import Store, connect

_DAY_S = 86_400
_DECODER = msgspec.json.Decoder(Decision)


@dataclass(frozen=True, slots=True)
class _Message:
    envelope: Envelope
    decision: Decision


@dataclass(frozen=True, slots=True)
class _Looked:
    wanted: list[Candidate]
    kept: list[tuple[str, Kept]]


class FeedbackStage:
    """See ``streams.stage.Stage``. Most messages give no sample; a message that comes again gives the samples of the first time.

    ``check`` is the second leak check: a note that it suspects becomes no sample and waits for no card; that it was withheld is counted,
    and nothing else of it leaves.
    """

    name = STAGE

    def __init__(self, settings: Settings, check: Check) -> None:
        self._settings, self._check = settings, check
        self._redis: Store | None = None
        self._metrics: StreamMetrics | None = None

    def observe(self, metrics: StreamMetrics, health: Health) -> None:
        """See ``streams.stage.Observed``."""
        self._metrics = metrics

    async def open(self) -> None:
        """Raises ConfigurationError when the policy file is wrong."""
        self._policy = await asyncio.to_thread(load_policy, self._settings.feedback.policy_file)
        self._redis = connect(self._settings.redis)
        self._store = feedback_store(self._settings, self._redis)

    async def process(self, records: Sequence[Record]) -> Sequence[Outcome]:
        """Raises StoreUnavailable: the batch comes again."""
        if self._redis is None:
            raise RuntimeError("process before open")
        read = [_read(record) for record in records]
        messages = [row for row in read if isinstance(row, _Message)]
        seen = await self._store.look([row.decision.findings for row in messages], self._policy)
        looked = await asyncio.to_thread(lambda: [self._look(row.decision, one) for row, one in zip(messages, seen, strict=True)])
        if self._settings.cds.enabled:
            await self._store.keep([kept for one in looked for kept in one.kept])
        proposed = iter(await self._propose([one.wanted for one in looked]))
        return [
            Refused(row) if isinstance(row, Poison) else Done(tuple(sample_output(row.envelope, s) for s in next(proposed)))
            for row in read
        ]

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()
            self._redis = None

    def _look(self, decision: Decision, seen: Seen) -> _Looked:
        """Pure but for the count of what the second leak check withholds."""
        clean = {note.path: not self._check(note.text) for note in decision.findings.notes}
        wanted = []
        for one in candidates(decision, self._policy, seen):
            if clean[one.sample.note.path]:
                wanted.append(one)
            else:
                self._withhold(one, "leak")
        kept = []
        for flag, samples in flagged(decision) if self._settings.cds.enabled else ():
            shown = tuple(sample for sample in samples if clean[sample.note.path])
            if shown:
                kept.append((flag.id, Kept(decision.findings.time, shown)))
        return _Looked(wanted, kept)

    async def _propose(self, wanted: Sequence[Sequence[Candidate]]) -> list[list[Sample]]:
        """The samples of each message, as far as the budgets go."""
        every = [one for rows in wanted for one in rows]
        admissions = iter(await self._store.admit(every))
        answers = iter(await self._store.answers([one.sample.id for one in every]))
        found: list[list[Sample]] = []
        for rows in wanted:
            found.append([])
            for one in rows:
                admission, said = next(admissions), next(answers)
                if admission.proposal is None:
                    self._withhold(one, admission.cause)
                    continue
                found[-1].append(admitted(one.sample, admission.proposal, weak_of(said)))
                if self._metrics is not None:
                    self._metrics.samples_proposed.labels(admission.proposal.reason).inc()
        return found

    def _withhold(self, one: Candidate, cause: str) -> None:
        if self._metrics is not None:
            self._metrics.samples_withheld.labels(one.ways[0].proposal.reason, cause).inc()


def feedback_store(settings: Settings, redis: Store) -> FeedbackStore:
    return FeedbackStore(redis, prefix=settings.kafka.topic_prefix, cards_s=settings.cds.days * _DAY_S)


def weak_of(answers: Mapping[str, Answer]) -> dict[str, CardOutcome]:
    """Outcomes by flag, in the order of the flags' ids: equal answers give equal bytes."""
    return {flag: answers[flag].outcome for flag in sorted(answers)}


def _read(record: Record) -> _Message | Poison:
    try:
        envelope = parse_headers(record.headers)
        envelope.require(DataClass.INTERNAL)
        return _Message(envelope, _DECODER.decode(record.value or b""))
    except Poison as error:
        return error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return SchemaMismatch(Reason.SCHEMA_MISMATCH, path="value")


def sample_output(envelope: Envelope, sample: Sample) -> Output:
    """The record of a sample; ``envelope``: of the message, for its time, versions and trace."""
    row = topics.BY_NAME[topics.SAMPLE]
    headers = msgspec.structs.replace(
        envelope,
        id=sample.id,
        source=f"/agents/{STAGE}",
        type=row.event_type,
        content_type=JSON,
        data_class=row.data_class,
        deid_map=None,
    ).headers()
    return Output(topics.SAMPLE, sample.id.encode(), msgspec.json.encode(sample, order="deterministic"), headers)
