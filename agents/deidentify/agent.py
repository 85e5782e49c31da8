"""The stage: ``phi.message.received.v1`` -> ``deid.message.ready.v1``. Binds the pure step to the vault, envelopes and topics."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from agents.deidentify.step import STAGE, Deidentified, Deidentifier, Prepared, make_deidentifier
from agents.following import Followed, Lineup
from agents.vault.contract import Pseudonyms
from agents.vault.vault import CACHE_S, TokenVault, open_vault
from schemas.envelope import CONTENT_TYPE, JSON, PAYLOAD_SEAL, TRACEPARENT, DataClass, Envelope, parse_headers
from schemas.errors import LeakDetected, MalformedMessage, Poison, Reason, UnsupportedContent
from schemas.ids import derived_id, source_id
from schemas.merges import Merge
from streams import topics
from streams.dead_letters import first_place
from streams.health import Health
from streams.metrics import StreamMetrics
from streams.record import Output, Record
from streams.sealing import ALGORITHM, Seal, is_sealed, open_seal
from streams.settings import Settings
from streams.stage import Done, Outcome, Refused

#: In place of a message that has not been read yet.
_UNREAD = UnsupportedContent(Reason.UNEXPECTED)


class DeidentifyStage:
    """See ``streams.stage.Stage``. Reading, scrubbing and checking run in a thread; the vault is asked once a batch.

    A batch is made by the PHI model that serves when it begins, and its policy names it; what is released meanwhile serves the next batch. With
    ``deidentifier`` given, that one serves and no release is followed.
    """

    name = STAGE

    def __init__(
        self,
        settings: Settings,
        deidentifier: Deidentifier | None = None,
        vault: TokenVault | None = None,
        seal: Seal | None = None,
    ) -> None:
        self._settings = settings
        self._observed: tuple[StreamMetrics, Health] | None = None
        self._followed = None if deidentifier is None else Followed(STAGE, settings.models.phi, deidentifier, None)
        self._vault = vault
        self._seal = seal

    def observe(self, metrics: StreamMetrics, health: Health) -> None:
        """See ``streams.stage.Observed``."""
        self._observed = metrics, health

    async def open(self) -> None:
        """Whoever gives the vault gives the seal too, if records are sealed.

        Raises:
            ConfigurationError: policy, PHI model, key-encryption key or keyring are missing or unreadable.
            StoreUnavailable: the vault's store does not answer.
        """
        if self._followed is None:
            first = await asyncio.to_thread(make_deidentifier, self._settings)
            self._followed = Followed(STAGE, self._settings.models.phi, first, self._observed)
            if self._settings.deid.use_model:
                await self._followed.follow(self._settings, first.with_tagger)
        if self._vault is None:
            self._vault = await open_vault(self._settings)
            self._seal = self._seal or await open_seal(self._settings, cache_s=CACHE_S)

    async def process(self, records: Sequence[Record]) -> Sequence[Outcome]:
        if self._followed is None or self._vault is None:
            raise RuntimeError("process before open")
        with self._followed.borrowed() as lineup:
            return await self._deidentify(records, lineup, self._vault)

    async def _deidentify(self, records: Sequence[Record], lineup: Lineup[Deidentifier], vault: TokenVault) -> list[Outcome]:
        envelopes = [_envelope(record) for record in records]
        opened = await asyncio.gather(*map(self._opened, records, envelopes))
        # the record's key is the door's keyed hash of the patient: the token is known only when the message has been read
        makers = [lineup.of((record.key or b"").hex()) for record in records]
        rows: list[Prepared | Poison] = [
            envelope if isinstance(envelope, Poison) else payload if isinstance(payload, Poison) else _UNREAD
            for envelope, payload in zip(envelopes, opened, strict=True)
        ]
        for maker in (lineup.champion, lineup.canary):
            mine = [n for n, row in enumerate(rows) if row is _UNREAD and makers[n] is maker]
            if maker is not None and mine:
                readable = [(envelopes[n].content_type, opened[n]) for n in mine]  # type: ignore[union-attr]
                prepared = await asyncio.to_thread(maker.prepare_many, readable)  # type: ignore[arg-type]
                for n, row in zip(mine, prepared, strict=True):
                    rows[n] = row
        wanted = [
            (record, row, maker) for record, row, maker in zip(records, rows, makers, strict=True) if isinstance(row, Prepared)
        ]
        answers = await vault.resolve([row.request for _, row, _ in wanted])
        await vault.remember_payload_keys(
            (answer.subject, record.key)
            for (record, _, _), answer in zip(wanted, answers, strict=True)
            if record.key and is_sealed(record.value or b"")
        )
        results = await asyncio.to_thread(_apply_all, [(maker, row) for _, row, maker in wanted], answers)
        applied = iter(zip(answers, results, strict=True))
        outcomes: list[Outcome] = []
        for record, envelope, payload, row, maker in zip(records, envelopes, opened, rows, makers, strict=True):
            if isinstance(row, Poison):
                outcomes.append(Refused(row))
                continue
            assert isinstance(envelope, Envelope)  # a record without one has a Poison in its row
            pseudonyms, result = next(applied)
            if isinstance(result, LeakDetected):
                outcomes.append(Refused(result, await self._quarantined(record, envelope, payload, pseudonyms.subject)))
            elif isinstance(result, Poison):
                outcomes.append(Refused(result))
            else:
                outcomes.append(Done(_outputs(envelope, result, pseudonyms, maker.policy_version)))
        return outcomes

    async def _quarantined(self, record: Record, envelope: Envelope, payload: bytes | Poison, subject: str) -> Record | None:
        """A record that came in clear, sealed under a key of its patient, so that an erasure reaches it; ``None`` for one that is sealed already."""
        if self._seal is None or self._vault is None or not isinstance(payload, bytes) or is_sealed(record.value or b""):
            return None
        key = subject.encode()
        await self._vault.remember_payload_keys([(subject, key)])
        sealed = await self._seal.seal(key, envelope.content_type, payload)
        return replace(record, key=key, value=sealed, headers=(*record.headers, (PAYLOAD_SEAL, ALGORITHM.encode())))

    async def _opened(self, record: Record, envelope: Envelope | Poison) -> bytes | Poison:
        """The payload in clear. Raises StoreUnavailable when its key cannot be asked for."""
        if record.value is None:
            return MalformedMessage(Reason.SCHEMA_MISMATCH, path="value")
        if isinstance(envelope, Poison) or not is_sealed(record.value):
            return record.value
        if self._seal is None or record.key is None:
            return MalformedMessage(Reason.SCHEMA_MISMATCH, path="value", detail="sealed, and there is no key to open it")
        try:
            return await self._seal.unseal(record.key, envelope.content_type, record.value)
        except Poison as error:
            return error

    async def close(self) -> None:
        if self._vault is not None:
            await self._vault.close()
        if self._seal is not None:
            await self._seal.close()
        self._vault = self._seal = None
        if self._followed is not None:
            await self._followed.close()
            self._followed = None


def _apply_all(prepared: Sequence[tuple[Deidentifier, Prepared]], answers: Sequence[Pseudonyms]) -> list[Deidentified | Poison]:
    results: list[Deidentified | Poison] = []
    for (maker, row), pseudonyms in zip(prepared, answers, strict=True):
        try:
            results.append(maker.apply(row, pseudonyms))
        except Poison as error:
            results.append(error)
    return results


def _envelope(record: Record) -> Envelope | Poison:
    """The record's envelope; for one that an integration engine wrote with only a content type, derived from its place in the log.

    Raises:
        PrivacyViolation: the record says that it is of another class than raw messages are.
    """
    names = {name for name, _ in record.headers}
    try:
        if "ce_specversion" in names or "ce_dataclassification" in names:
            envelope = parse_headers(record.headers)
            envelope.require(DataClass.RESTRICTED)
            return envelope
        found = dict(record.headers)
        content_type = found.get(CONTENT_TYPE, b"").decode("ascii", "replace")
    except Poison as error:
        return error
    if not content_type:
        return UnsupportedContent(Reason.UNSUPPORTED_CONTENT_TYPE, path=CONTENT_TYPE)
    identifier = source_id("kafka", *map(str, first_place(record)))
    time = datetime.fromtimestamp(record.timestamp / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    trace = found.get(TRACEPARENT)
    return Envelope(
        id=identifier,
        source="/kafka",
        type=topics.BY_NAME[topics.RECEIVED].event_type,
        time=time,
        content_type=content_type,
        data_class=DataClass.RESTRICTED,
        origin=identifier,
        traceparent=trace.decode("ascii", "replace") if trace else None,
    )


def _outputs(envelope: Envelope, result: Deidentified, pseudonyms: Pseudonyms, policy: str) -> tuple[Output, ...]:
    """The message; before it, for whoever keeps something under the retired token, that it merged two patients."""
    message = _output(envelope, result, policy)
    if pseudonyms.merged is None:
        return (message,)
    retired = pseudonyms.merged.token
    event = Merge(
        id=derived_id(envelope.origin, f"{STAGE}.merge", policy=policy),
        time=envelope.time,
        survivor=pseudonyms.subject,
        retired=retired,
        delta_minutes=pseudonyms.merged.delta,
    )
    headers = Envelope(
        id=event.id,
        source=f"/agents/{STAGE}",
        type=topics.BY_NAME[topics.MERGED].event_type,
        time=envelope.time,
        content_type=JSON,
        data_class=DataClass.INTERNAL,
        origin=envelope.origin,
        subject=retired,
        policy=policy,
        traceparent=envelope.traceparent,
    ).headers()
    return Output(topics.MERGED, retired.encode(), msgspec.json.encode(event), headers), message


def _output(envelope: Envelope, result: Deidentified, policy: str) -> Output:
    headers = Envelope(
        id=derived_id(envelope.origin, STAGE, policy=policy),
        source=f"/agents/{STAGE}",
        type=topics.BY_NAME[topics.READY].event_type,
        time=envelope.time,
        content_type=result.content_type,
        data_class=DataClass.INTERNAL,
        origin=envelope.origin,
        subject=result.subject,
        policy=policy,
        deid_map=result.map.encode(),
        traceparent=envelope.traceparent,
    ).headers()
    return Output(topics.READY, result.subject.encode(), result.payload, headers)


def build(settings: Settings) -> DeidentifyStage:
    """The stage under these settings; nothing is opened before ``open``."""
    return DeidentifyStage(settings)
