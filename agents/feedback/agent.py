"""The stage: ``deid.flag.raised.v1`` -> ``train.sample.proposed.v1``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from agents.feedback.step import STAGE, make_policy, samples
from schemas.envelope import JSON, DataClass, Envelope, parse_headers
from schemas.errors import Poison, Reason, SchemaMismatch
from schemas.flags import Decision
from schemas.samples import Sample
from streams import topics
from streams.record import Output, Record
from streams.settings import Settings
from streams.stage import Done, Outcome, Refused

_DECODER = msgspec.json.Decoder(Decision)


class FeedbackStage:
    """See ``streams.stage.Stage``. Most messages give no sample."""

    name = STAGE

    def __init__(self, settings: Settings) -> None:
        self._policy = make_policy(settings)

    async def open(self) -> None:
        """Nothing to open."""

    async def process(self, records: Sequence[Record]) -> Sequence[Outcome]:
        return await asyncio.to_thread(lambda: [self._one(record) for record in records])

    async def close(self) -> None:
        """Nothing to close."""

    def _one(self, record: Record) -> Outcome:
        try:
            envelope = parse_headers(record.headers)
            envelope.require(DataClass.INTERNAL)
            decision = _decode(record.value)
        except Poison as error:
            return Refused(error)
        return Done(tuple(_output(envelope, sample) for sample in samples(decision, self._policy)))


def _decode(value: bytes | None) -> Decision:
    try:
        return _DECODER.decode(value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise SchemaMismatch(Reason.SCHEMA_MISMATCH, path="value") from None


def _output(envelope: Envelope, sample: Sample) -> Output:
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


def build(settings: Settings) -> FeedbackStage:
    """The stage under these settings."""
    return FeedbackStage(settings)
