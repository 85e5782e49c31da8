"""The stage: ``deid.flag.raised.v1`` -> Bundles for analytics, and, where the site wants it, audited results for the EHR."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from agents.publish.bundle import render
from agents.publish.check import Checker
from agents.publish.names import STAGE, resource_id
from agents.publish.release import Released, identify, release
from agents.publish.subject import pseudonymous
from agents.vault.contract import PatientRecord, Vault
from schemas.deidentified import decode_map
from schemas.envelope import FHIR_JSON, HL7_V2, JSON, DataClass, Envelope, parse_headers
from schemas.errors import Poison, Reason, SchemaMismatch
from schemas.flags import Decision
from streams import topics
from streams.record import Output, Record
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

    def __init__(self, settings: Settings, vault: Vault | None = None) -> None:
        self._settings = settings
        self._vault = vault
        self._checker = Checker()

    async def open(self) -> None:
        """Raises ConfigurationError when results are to be re-identified and the vault's key is missing."""
        if self._settings.publish.reidentify and self._vault is None:
            from agents.vault.vault import open_vault  # not touched at all by an installation that publishes pseudonyms only

            self._vault = open_vault(self._settings)

    async def process(self, records: Sequence[Record]) -> Sequence[Outcome]:
        read = [_read(record) for record in records]
        people: dict[str, PatientRecord] = {}
        if self._vault is not None:
            wanted = [row.decision.findings.subject for row in read if isinstance(row, _Message) and not row.without_patient]
            people = await identify(self._vault, wanted)
        return await asyncio.to_thread(self._publish, records, read, people)

    async def close(self) -> None:
        self._vault = None

    def _publish(
        self, records: Sequence[Record], read: Sequence[_Message | Poison], people: dict[str, PatientRecord]
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for record, row in zip(records, read, strict=True):
            if isinstance(row, Poison):
                outcomes.append(Refused(row))
                continue
            try:
                outcomes.append(Done(self._outputs(record, row, people)))
            except Poison as error:
                outcomes.append(Refused(error))
        return outcomes

    def _outputs(self, record: Record, message: _Message, people: dict[str, PatientRecord]) -> tuple[Output, ...]:
        """Bundle; then the audit entry and only after it what it is about."""
        decision, settings = message.decision, self._settings.publish
        subject = pseudonymous(decision.findings, self._settings.deid.tenant)
        outputs = [_output(record, message, topics.BUNDLE, render(decision, subject, checker=self._checker), FHIR_JSON)]
        if settings.reidentify and not message.without_patient:
            released: Released = release(
                decision,
                people.get(decision.findings.subject),
                application=settings.application,
                facility=settings.facility,
                oru=settings.oru,
                checker=self._checker,
            )
            outputs.append(_output(record, message, topics.AUDIT, msgspec.json.encode(released.audit), JSON))
            outputs.append(_output(record, message, topics.RESULT, released.bundle, FHIR_JSON))
            if released.oru is not None:
                outputs.append(_output(record, message, topics.RESULT, released.oru, HL7_V2))
        return tuple(outputs)


def _read(record: Record) -> _Message | Poison:
    try:
        envelope = parse_headers(record.headers)
        envelope.require(DataClass.INTERNAL)
        decision = _decode(record.value)
        if decision.findings.subject != envelope.subject:
            raise SchemaMismatch(Reason.SCHEMA_MISMATCH, path="ce_subject")
        return _Message(envelope, decision, decode_map(envelope.deid_map).without_patient)
    except Poison as error:
        return error


def _decode(value: bytes | None) -> Decision:
    try:
        return _DECODER.decode(value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise SchemaMismatch(Reason.SCHEMA_MISMATCH, path="value") from None


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
