"""The stage ``deliver_fhir``: Bundles of ``phi.result.published.v1`` to the site's FHIR server, stored there before the offset moves.

A patient's Bundles go one after another in the order of the topic; those of different patients side by side. HL7 v2 records pass. A fact that the
server has in a newer version is not written over: what a laboratory corrected may come before what it corrects.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from agents.publish.disclosure import disclosed
from agents.publish.fhir_sender import FhirSender, Overtaken, ServerFault
from agents.publish.transaction import facts, probe, stored, transaction
from schemas.envelope import FHIR_JSON, DataClass, parse_headers
from schemas.errors import ConfigurationError, Poison, Reason, SchemaMismatch
from streams.record import Record
from streams.settings import Settings
from streams.stage import Done, Outcome, Refused

STAGE = "deliver_fhir"
#: Bundles on their way to the server at one time.
_AT_ONCE = 8
#: What the server took of a batch that had to be given back is not sent again by this process.
_REMEMBERED = 10_000
#: How often what the server has is read before a conflict is taken for the server's own.
_READINGS = 3


class DeliverFhirStage:
    """See ``streams.stage.Stage``. ``sleep`` comes from outside so that tests need not wait."""

    name = STAGE

    def __init__(self, settings: Settings, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._settings = settings
        self._sleep = sleep
        self._sender: FhirSender | None = None
        self._delivered: OrderedDict[str, None] = OrderedDict()
        self._room = asyncio.Semaphore(_AT_ONCE)
        # Batches may overlap; a patient's order is one.
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Raises ConfigurationError when no server is named. The server itself may be down: records wait for it."""
        if self._settings.fhir_server.base_url is None:
            raise ConfigurationError(path="fhir_server.base_url", detail="the base address of the FHIR server is needed")
        self._sender = FhirSender(self._settings.fhir_server, sleep=self._sleep)

    async def process(self, records: Sequence[Record]) -> Sequence[Outcome]:
        """Raises ReceiverUnavailable: the whole batch comes again, and only what the server did not take is sent."""
        if self._sender is None:
            raise RuntimeError("process before open")
        patients: dict[tuple[int, bytes | None], list[int]] = {}
        for index, record in enumerate(records):
            patients.setdefault((record.partition, record.key), []).append(index)
        outcomes: dict[int, Outcome] = {}
        async with self._turn:
            ended = await asyncio.gather(
                *(self._patient(records, rows, outcomes, self._sender) for rows in patients.values()), return_exceptions=True
            )
        for end in ended:
            if end is not None:
                raise end
        return [outcomes[index] for index in range(len(records))]

    async def close(self) -> None:
        if self._sender is not None:
            await self._sender.close()
            self._sender = None

    async def _patient(
        self, records: Sequence[Record], rows: list[int], outcomes: dict[int, Outcome], sender: FhirSender
    ) -> None:
        async with self._room:
            for index in rows:
                outcomes[index] = await self._one(records[index], sender)

    async def _one(self, record: Record, sender: FhirSender) -> Outcome:
        try:
            envelope = parse_headers(record.headers)
            envelope.require(DataClass.RESTRICTED)
            if not envelope.content_type.startswith(FHIR_JSON):
                return Done()
            if record.value is None:
                raise SchemaMismatch(Reason.SCHEMA_MISMATCH, path="value")
            if envelope.id not in self._delivered:
                await _send(record.value, sender)
                self._delivered[envelope.id] = None
                if len(self._delivered) > _REMEMBERED:
                    self._delivered.popitem(last=False)
        except Poison as error:
            return Refused(error)
        return Done((disclosed(STAGE, record, envelope, sender.base),))


async def _send(bundle: bytes, sender: FhirSender) -> None:
    """Raises as ``FhirSender.send``. A Bundle at which the server stumbles (500) although it takes transactions is refused: it must not hold up the others."""
    try:
        await _send_newest(bundle, sender)
    except ServerFault:
        await sender.send(probe(bundle))
        raise Poison(Reason.RECEIVER_REFUSED, path="http.500") from None


async def _send_newest(bundle: bytes, sender: FhirSender) -> None:
    wanted = facts(bundle)
    for reading in range(_READINGS):
        known = stored([row for kind, names in wanted.items() for row in await sender.find(kind, names)])
        try:
            await sender.send(transaction(bundle, known), guarded=bool(known) and reading + 1 < _READINGS)
        except Overtaken:
            continue
        return


def build(settings: Settings) -> DeliverFhirStage:
    """The stage under these settings; nothing is opened before ``open``."""
    return DeliverFhirStage(settings)
