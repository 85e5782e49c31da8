"""The stage: ``deid.flag.raised.v1`` -> Bundles for analytics, and, where the site wants it, audited results for the EHR."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from agents.publish.bundle import render
from agents.publish.check import Checker
from agents.publish.names import STAGE, resource_id
from agents.publish.release import People, Releaser
from agents.publish.subject import pseudonymous
from schemas.deidentified import decode_map
from schemas.envelope import FHIR_JSON, HL7_V2, JSON, DataClass, Envelope, parse_headers
from schemas.errors import Poison, Reason, SchemaMismatch
from schemas.flags import Decision
from streams import topics
from streams.record import Output, Record, decoded
from streams.settings import Settings
from streams.stage import Done, Outcome, Refused

_DECODER = msgspec.json.Decoder(Decision)


@dataclass(frozen=True, slots=True)
class _Message:
    envelope: Envelope
    decision: Decision
    without_patient: bool


class PublishStage:
    """See ``streams.stage.Stage``. With ``publish.reidentify`` off, the vault is not opened at all."""

    name = STAGE

    def __init__(self, settings: Settings, releaser: Releaser | None = None) -> None:
        self._settings = settings
        self._releaser = releaser or Releaser(settings)
        self._checker = Checker()

    async def open(self) -> None:
        """Raises ConfigurationError when results are to be re-identified and the vault's key is missing."""
        await self._releaser.open()

    async def process(self, records: Sequence[Record]) -> Sequence[Outcome]:
        read = [_read(record) for record in records]
        messages = [row for row in read if isinstance(row, _Message) and not row.without_patient]
        people = await self._releaser.people(message.decision.findings.subject for message in messages)
        return await asyncio.to_thread(
            lambda: [self._one(record, row, people) for record, row in zip(records, read, strict=True)]
        )

    async def close(self) -> None:
        await self._releaser.close()

    def _one(self, record: Record, row: _Message | Poison, people: People) -> Outcome:
        if isinstance(row, Poison):
            return Refused(row)
        try:
            return Done(self._outputs(record, row, people))
        except Poison as error:
            return Refused(error)

    def _outputs(self, record: Record, message: _Message, people: People) -> tuple[Output, ...]:
        """Bundle; then the audit entry and only after it what it is about."""
        decision = message.decision
        subject = pseudonymous(decision.findings, self._settings.deid.tenant)
        outputs = [_output(record, message, topics.BUNDLE, render(decision, subject, checker=self._checker), FHIR_JSON)]
        released = None if message.without_patient else self._releaser.release(decision, people, self._checker)
        if released is not None:
            outputs.append(_output(record, message, topics.AUDIT, msgspec.json.encode(released.audit), JSON))
            outputs.append(_output(record, message, topics.RESULT, released.bundle, FHIR_JSON))
            if released.oru is not None:
                outputs.append(_output(record, message, topics.RESULT, released.oru, HL7_V2))
        return tuple(outputs)


def _read(record: Record) -> _Message | Poison:
    try:
        envelope = parse_headers(record.headers)
        envelope.require(DataClass.INTERNAL)
        decision = decoded(record.value, _DECODER)
        if decision.findings.subject != envelope.subject:
            raise SchemaMismatch(Reason.SCHEMA_MISMATCH, path="ce_subject")
        return _Message(envelope, decision, decode_map(envelope.deid_map).without_patient)
    except Poison as error:
        return error


def _output(record: Record, message: _Message, topic: str, value: bytes, content_type: str) -> Output:
    """The sidecar map of de-identification ends here; the rest of the envelope goes on."""
    row = topics.BY_NAME[topic]
    headers = msgspec.structs.replace(
        message.envelope,
        id=resource_id(message.decision.id, topic, content_type),
        source=f"/agents/{STAGE}",
        type=row.event_type,
        content_type=content_type,
        data_class=row.data_class,
        deid_map=None,
    ).headers()
    return Output(topic, record.key, value, headers)


def build(settings: Settings) -> PublishStage:
    """The stage under these settings; nothing is opened before ``open``."""
    return PublishStage(settings)
