"""The stage: ``deid.message.ready.v1`` -> ``deid.findings.extracted.v1``. Binds the pure step to envelopes and topics."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from agents.extract.mentions import STAGE
from agents.extract.step import Extractor, Request, make_extractor
from agents.following import Followed, Lineup
from schemas.deidentified import decode_map
from schemas.envelope import JSON, DataClass, Envelope, parse_headers
from schemas.errors import Poison, Reason, SchemaMismatch
from schemas.findings import Findings
from schemas.ids import derived_id
from streams import topics
from streams.health import Health
from streams.metrics import StreamMetrics
from streams.record import Output, Record
from streams.settings import Settings
from streams.stage import Done, Outcome, Refused


@dataclass(frozen=True, slots=True)
class _Row:
    envelope: Envelope
    request: Request
    extractor: Extractor


class ExtractStage:
    """See ``streams.stage.Stage``. The model runs in threads of its own, so that fetching and heartbeats go on.

    A batch borrows what serves when it begins, and every result names the version that made it; what is released meanwhile serves the
    next batch. With ``extractor`` given, that one serves and no release is followed.
    """

    name = STAGE

    def __init__(self, settings: Settings, extractor: Extractor | None = None) -> None:
        self._settings = settings
        self._observed: tuple[StreamMetrics, Health] | None = None
        self._followed = None if extractor is None else Followed(STAGE, settings.models.entities, extractor, None)

    def observe(self, metrics: StreamMetrics, health: Health) -> None:
        """See ``streams.stage.Observed``."""
        self._observed = metrics, health

    async def open(self) -> None:
        """Open the shelf's bundle, then what is released, when it can be had: a store that is away keeps no worker from serving.

        Raises ConfigurationError when the shelf's bundle is missing or does not verify.
        """
        if self._followed is not None:
            return
        first = await asyncio.to_thread(make_extractor, self._settings)
        self._followed = Followed(STAGE, self._settings.models.entities, first, self._observed)
        await self._followed.follow(self._settings, first.with_tagger)

    async def process(self, records: Sequence[Record]) -> Sequence[Outcome]:
        if self._followed is None:
            raise RuntimeError("process before open")
        with self._followed.borrowed() as lineup:
            return await self._extract(records, lineup)

    async def _extract(self, records: Sequence[Record], lineup: Lineup[Extractor]) -> list[Outcome]:
        rows = [self._request(record, lineup) for record in records]
        found: dict[int, Findings | Poison] = {}
        for extractor in (lineup.champion, lineup.canary):
            mine = [(n, row.request) for n, row in enumerate(rows) if not isinstance(row, Poison) and row.extractor is extractor]
            if extractor is not None and mine:
                results = await asyncio.to_thread(extractor.extract_many, [request for _, request in mine])
                found.update(zip((n for n, _ in mine), results, strict=True))
        outcomes: list[Outcome] = []
        for number, (record, row) in enumerate(zip(records, rows, strict=True)):
            result = row if isinstance(row, Poison) else found[number]
            if isinstance(row, Poison) or isinstance(result, Poison):
                outcomes.append(Refused(result))  # type: ignore[arg-type]
            else:
                outcomes.append(Done((_output(record, row.envelope, result, row.extractor.version),)))
        return outcomes

    async def close(self) -> None:
        if self._followed is not None:
            await self._followed.close()
            self._followed = None

    @staticmethod
    def _request(record: Record, lineup: Lineup[Extractor]) -> _Row | Poison:
        try:
            envelope = parse_headers(record.headers)
            envelope.require(DataClass.INTERNAL)
            if record.value is None or not envelope.subject:
                raise SchemaMismatch(Reason.SCHEMA_MISMATCH, path="ce_subject" if record.value else "value")
            policy = envelope.policy or ""
            extractor = lineup.of(envelope.subject)
            request = Request(
                content_type=envelope.content_type,
                payload=record.value,
                id=derived_id(envelope.origin, STAGE, policy=policy, model=extractor.version),
                origin=envelope.origin,
                subject=envelope.subject,
                time=envelope.time,
                policy=policy,
                deid_map=decode_map(envelope.deid_map),
            )
        except Poison as error:
            return error
        return _Row(envelope, request, extractor)


def _output(record: Record, envelope: Envelope, findings: Findings, version: str) -> Output:
    headers = Envelope(
        id=findings.id,
        source=f"/agents/{STAGE}",
        type=topics.BY_NAME[topics.EXTRACTED].event_type,
        time=envelope.time,
        content_type=JSON,
        data_class=DataClass.INTERNAL,
        origin=envelope.origin,
        subject=envelope.subject,
        policy=envelope.policy,
        model=version,
        deid_map=envelope.deid_map,
        traceparent=envelope.traceparent,
    ).headers()
    return Output(topics.EXTRACTED, record.key, msgspec.json.encode(findings, order="deterministic"), headers)


def build(settings: Settings) -> ExtractStage:
    """The stage under these settings; nothing is loaded before ``open``."""
    return ExtractStage(settings)
