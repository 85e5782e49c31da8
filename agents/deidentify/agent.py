"""Stage ``deidentify``: raw messages in, de-identified messages out. The only stage that reads ``phi.message.received.v1``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from agents.deidentify.step import Deidentified, Deidentifier, Prepared, make_deidentifier
from agents.vault.contract import Pseudonyms, Vault
from agents.vault.vault import open_vault
from schemas.envelope import CONTENT_TYPE, DataClass, Envelope, parse_headers
from schemas.errors import MalformedMessage, Poison, Reason, UnsupportedContent
from schemas.ids import derived_id, source_id
from streams import store, topics
from streams.record import Output, Record
from streams.settings import Settings
from streams.stage import Done, Outcome, Refused

NAME = "deidentify"
#: Bytes of the offset map that a header may carry; a longer one means a message with thousands of redactions.
LARGEST_MAP = 900_000


def build(settings: Settings) -> DeidentifyStage:
    return DeidentifyStage(settings)


class DeidentifyStage:
    """See ``streams.stage.Stage``."""

    name = NAME

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._deidentifier: Deidentifier
        self._vault: Vault
        self._store: store.Store | None = None

    async def open(self) -> None:
        self._vault = open_vault(self._settings)
        self._deidentifier = await asyncio.to_thread(make_deidentifier, self._settings)
        self._store = store.connect(self._settings.redis)
        await self._store.ping()

    async def process(self, records: Sequence[Record]) -> Sequence[Outcome]:
        read = await asyncio.to_thread(lambda: [self._prepare(record) for record in records])
        ready = [item for item in read if isinstance(item, tuple)]
        answers = iter(await self._vault.resolve([prepared.request for _, prepared in ready]) if ready else ())
        paired = [(*item, next(answers)) if isinstance(item, tuple) else item for item in read]
        return await asyncio.to_thread(lambda: [self._finish(item) for item in paired])

    async def close(self) -> None:
        if self._store is not None:
            await self._store.aclose()

    def _prepare(self, record: Record) -> tuple[Envelope, Prepared] | Poison:
        try:
            envelope = envelope_of(record)
            envelope.require(DataClass.RESTRICTED)
            if not record.value:
                raise UnsupportedContent(Reason.UNSUPPORTED_CONTENT_TYPE, detail="empty record")
            return envelope, self._deidentifier.prepare(envelope.content_type, record.value)
        except Poison as error:
            return error

    def _finish(self, item: tuple[Envelope, Prepared, Pseudonyms] | Poison) -> Outcome:
        if isinstance(item, Poison):
            return Refused(item)
        envelope, prepared, pseudonyms = item
        try:
            return Done((self._output(envelope, self._deidentifier.apply(prepared, pseudonyms)),))
        except Poison as error:
            return Refused(error)

    def _output(self, envelope: Envelope, result: Deidentified) -> Output:
        policy = self._deidentifier.policy_version
        encoded = result.map.encode()
        if len(encoded) > LARGEST_MAP:
            raise MalformedMessage(Reason.TOO_LARGE, path="deid-map")
        headers = Envelope(
            id=derived_id(envelope.origin, NAME, policy=policy),
            source=f"/agents/{NAME}",
            type=topics.BY_NAME[topics.READY].event_type,
            time=envelope.time,
            content_type=result.content_type,
            data_class=DataClass.INTERNAL,
            origin=envelope.origin,
            subject=result.subject,
            policy=policy,
            deid_map=encoded,
            traceparent=envelope.traceparent,
        ).headers()
        return Output(topics.READY, result.subject.encode(), result.payload, headers)


def envelope_of(record: Record) -> Envelope:
    """The envelope as the gateway wrote it, or, for a record that an integration engine produced with nothing but a content type,
    one derived from the record's place in the log and its Kafka timestamp."""
    headers = dict(record.headers)
    if "ce_id" in headers:
        return parse_headers(record.headers)
    raw = headers.get(CONTENT_TYPE)
    if raw is None:
        raise UnsupportedContent(Reason.UNSUPPORTED_CONTENT_TYPE, path=CONTENT_TYPE)
    identity = source_id(record.topic, str(record.partition), str(record.offset))
    received = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    return Envelope(
        id=identity,
        source="/kafka",
        type=topics.BY_NAME[topics.RECEIVED].event_type,
        time=received.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        content_type=raw.decode("ascii", "replace"),
        data_class=DataClass.RESTRICTED,
        origin=identity,
    )
