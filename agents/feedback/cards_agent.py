"""The stage: ``train.feedback.recorded.v1`` -> ``train.sample.proposed.v1``. What clinicians did with a card becomes a weak label of its note.

The stage ``feedback`` has kept the notes behind each flag; here they are proposed, or proposed again with what was answered, under the same id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from agents.feedback.agent import feedback_store, sample_output, weak_of
from agents.feedback.policy import load_policy
from agents.feedback.step import admitted, for_card
from agents.feedback.store import Answer, Kept
from schemas.cards import CardFeedback
from schemas.envelope import DataClass, Envelope, parse_headers
from schemas.errors import Poison, Reason, SchemaMismatch
from schemas.samples import Sample
from streams.health import Health
from streams.metrics import StreamMetrics
from streams.record import Output, Record
from streams.settings import Settings
from streams.stage import Done, Outcome, Refused
from streams.store import Store, connect

STAGE = "feedback_cards"
_DECODER = msgspec.json.Decoder(CardFeedback)


class FeedbackCardsStage:
    """See ``streams.stage.Stage``. A card on a draft order has no note here and gives no sample."""

    name = STAGE

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
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
        feedback = [row for row in read if isinstance(row, CardFeedback)]
        kept = iter(await self._store.kept([row.card for row in feedback]))
        outcomes: list[Outcome] = []
        for record, row in zip(records, read, strict=True):
            if isinstance(row, Poison):
                outcomes.append(Refused(row))
            else:
                outcomes.append(Done(await self._propose(parse_headers(record.headers), row, next(kept))))
        return outcomes

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()
            self._redis = None

    async def _propose(self, envelope: Envelope, said: CardFeedback, kept: Kept | None) -> tuple[Output, ...]:
        if kept is None:
            return ()
        found = []
        for sample in kept.samples:
            (answers,) = await self._store.answers([sample.id])
            before = answers.get(said.card)
            if before is None or before.time <= said.time:
                answers[said.card] = Answer(said.time, said.outcome, said.reason)
                await self._store.answer(sample, said.card, answers[said.card])
            wanted = for_card(sample, kept.time[:10], said.outcome, said.reason, said.card, self._policy)
            (admission,) = await self._store.admit([wanted])
            if admission.proposal is None:
                if self._metrics is not None and admission.cause:
                    self._metrics.samples_withheld.labels(said.outcome, admission.cause).inc()
                continue
            if self._metrics is not None:
                self._metrics.samples_proposed.labels(admission.proposal.reason).inc()
            whole = admitted(sample, admission.proposal, weak_of(answers))
            found.append(sample_output(_envelope_of(envelope, whole, kept.time), whole))
        return tuple(found)


def _envelope_of(envelope: Envelope, sample: Sample, time: str) -> Envelope:
    """As of the message behind the card: its time, origin, patient and versions."""
    versions = sample.versions
    return msgspec.structs.replace(
        envelope,
        time=time,
        origin=sample.origin,
        subject=sample.subject,
        policy=versions.policy,
        model="+".join(part for part in (versions.entity_model, versions.flag_rules) if part),
    )


def _read(record: Record) -> CardFeedback | Poison:
    try:
        parse_headers(record.headers).require(DataClass.INTERNAL)
        return _DECODER.decode(record.value or b"")
    except Poison as error:
        return error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return SchemaMismatch(Reason.SCHEMA_MISMATCH, path="value")


def build(settings: Settings) -> FeedbackCardsStage:
    """The stage under these settings."""
    return FeedbackCardsStage(settings)
