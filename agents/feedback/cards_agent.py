"""The stage: ``train.feedback.recorded.v1`` -> ``train.sample.proposed.v1``. What clinicians did with a card becomes a weak label of its note.

The stage ``feedback`` has kept the notes behind each flag; here they are proposed, or proposed again with what was answered, under the same id.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from agents.feedback.agent import SampleStage, read_record, sample_output
from agents.feedback.step import for_card
from agents.feedback.store import Answer, Kept
from schemas.cards import CardFeedback
from schemas.envelope import Envelope
from schemas.errors import Poison
from schemas.samples import Sample
from streams.record import Output, Record
from streams.settings import Settings
from streams.stage import Done, Outcome, Refused

STAGE = "feedback_cards"
_DECODER = msgspec.json.Decoder(CardFeedback)


class FeedbackCardsStage(SampleStage):
    """See ``streams.stage.Stage``. A card on a draft order has no note here and gives no sample."""

    name = STAGE

    async def process(self, records: Sequence[Record]) -> Sequence[Outcome]:
        """Raises StoreUnavailable: the batch comes again."""
        if self._redis is None:
            raise RuntimeError("process before open")
        read = [read_record(record, _DECODER) for record in records]
        kept = iter(await self._store.kept([row[1].card for row in read if not isinstance(row, Poison)]))
        return [Refused(row) if isinstance(row, Poison) else Done(await self._propose(*row, next(kept))) for row in read]

    async def _propose(self, envelope: Envelope, said: CardFeedback, kept: Kept | None) -> tuple[Output, ...]:
        if kept is None:
            return ()
        wanted = []
        for sample in kept.samples:
            (answers,) = await self._store.answers([sample.id])
            before = answers.get(said.card)
            if before is None or before.time <= said.time:
                await self._store.answer(sample, said.card, Answer(said.time, said.outcome, said.reason))
            wanted.append(for_card(sample, kept.time[:10], said.outcome, said.reason, said.card, self._policy))
        found = [sample for sample in await self._admit(wanted) if sample is not None]
        return tuple(sample_output(_envelope_of(envelope, sample, kept.time), sample) for sample in found)


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


def build(settings: Settings) -> FeedbackCardsStage:
    """The stage under these settings."""
    return FeedbackCardsStage(settings)
