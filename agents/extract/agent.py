"""The stage: ``deid.message.ready.v1`` -> ``deid.findings.extracted.v1``. Binds the pure step to envelopes and topics."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from agents.extract.mentions import STAGE
from agents.extract.step import Extractor, Request, make_extractor
from schemas.deidentified import decode_map
from schemas.envelope import JSON, DataClass, Envelope, parse_headers
from schemas.errors import Poison, Reason, SchemaMismatch
from schemas.findings import Findings
from schemas.ids import derived_id
from streams import topics
from streams.record import Output, Record
from streams.settings import Settings
from streams.stage import Done, Outcome, Refused


class ExtractStage:
    """See ``streams.stage.Stage``. The model runs in threads of its own, so that fetching and heartbeats go on."""

    name = STAGE

    def __init__(self, settings: Settings, extractor: Extractor | None = None) -> None:
        self._settings = settings
        self._extractor = extractor

    async def open(self) -> None:
        """Raises ConfigurationError when the entity model's bundle is missing or does not verify."""
        if self._extractor is None:
            self._extractor = await asyncio.to_thread(make_extractor, self._settings)

    async def process(self, records: Sequence[Record]) -> Sequence[Outcome]:
        if self._extractor is None:
            raise RuntimeError("process before open")
        read = [self._request(record, self._extractor) for record in records]
        requests = [row[1] for row in read if not isinstance(row, Poison)]
        results = iter(await asyncio.to_thread(self._extractor.extract_many, requests))
        outcomes: list[Outcome] = []
        for record, row in zip(records, read, strict=True):
            if isinstance(row, Poison):
                outcomes.append(Refused(row))
                continue
            result = next(results)
            if isinstance(result, Poison):
                outcomes.append(Refused(result))
            else:
                outcomes.append(Done((_output(record, row[0], result, self._extractor.version),)))
        return outcomes

    async def close(self) -> None:
        if self._extractor is not None:
            self._extractor.close()
            self._extractor = None

    @staticmethod
    def _request(record: Record, extractor: Extractor) -> tuple[Envelope, Request] | Poison:
        try:
            envelope = parse_headers(record.headers)
            envelope.require(DataClass.INTERNAL)
            if record.value is None or not envelope.subject:
                raise SchemaMismatch(Reason.SCHEMA_MISMATCH, path="ce_subject" if record.value else "value")
            policy = envelope.policy or ""
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
        return envelope, request


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
