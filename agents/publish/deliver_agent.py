"""The stage ``deliver``: ORU^R01 records of ``phi.result.published.v1`` to the site's MLLP receiver, acknowledged before the offset moves.

Records go one after another in the order of their partition, so that a patient's results arrive in order. FHIR records pass: their
consumers read the topic.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from agents.publish.disclosure import disclosed
from agents.publish.mllp_sender import Answer, MllpSender, read_address
from schemas.envelope import HL7_V2, DataClass, parse_headers
from schemas.errors import ConfigurationError, Poison, Reason, SchemaMismatch
from schemas.hl7.er7 import parse
from streams.record import Record
from streams.settings import Settings
from streams.stage import Done, Outcome, Refused

STAGE = "deliver"
#: How often a message is sent that the receiver answers with AE or CE, and the wait before the next time (doubling), seconds.
ATTEMPTS = 5
FIRST_DELAY_S = 0.2
#: Acknowledged records of a batch that had to be given back are not sent again by this process.
_REMEMBERED = 10_000


class DeliverStage:
    """See ``streams.stage.Stage``. ``sleep`` comes from outside so that tests need not wait."""

    name = STAGE

    def __init__(self, settings: Settings, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._settings = settings
        self._sleep = sleep
        self._sender: MllpSender | None = None
        self._delivered: OrderedDict[str, None] = OrderedDict()
        # Batches may overlap; the receiver's order is one.
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Raises ConfigurationError when no receiver is named. The receiver itself may be down: records wait for it."""
        receiver = self._settings.publish.receiver
        if receiver is None:
            raise ConfigurationError(path="publish.receiver", detail="host:port of the MLLP receiver is needed")
        host, port = read_address(receiver)
        self._sender = MllpSender(host, port, timeout_s=self._settings.publish.receiver_timeout_s)

    async def process(self, records: Sequence[Record]) -> Sequence[Outcome]:
        """Raises ReceiverUnavailable: the whole batch comes again, and only what was not acknowledged is sent."""
        if self._sender is None:
            raise RuntimeError("process before open")
        async with self._turn:
            return [await self._one(record, self._sender) for record in records]

    async def close(self) -> None:
        if self._sender is not None:
            await self._sender.close()
            self._sender = None

    async def _one(self, record: Record, sender: MllpSender) -> Outcome:
        try:
            envelope = parse_headers(record.headers)
            envelope.require(DataClass.RESTRICTED)
            if not envelope.content_type.startswith(HL7_V2):
                return Done()
            if record.value is None:
                raise SchemaMismatch(Reason.SCHEMA_MISMATCH, path="value")
            header = parse(record.value).first("MSH")
            control_id = header.get(10) if header else ""
        except Poison as error:
            return Refused(error)
        if envelope.id not in self._delivered:
            if not await self._send(sender, record.value, control_id):
                return Refused(Poison(Reason.RECEIVER_REFUSED, path="MSA-1"))
            self._delivered[envelope.id] = None
            if len(self._delivered) > _REMEMBERED:
                self._delivered.popitem(last=False)
        return Done((disclosed(STAGE, record, envelope, f"mllp://{self._settings.publish.receiver or ''}"),))

    async def _send(self, sender: MllpSender, message: bytes, control_id: str) -> bool:
        """Whether the receiver took it. AR and CR end the matter; AE and CE are asked again."""
        delay = FIRST_DELAY_S
        for attempt in range(ATTEMPTS):
            answer = await sender.send(message, control_id)
            if answer is not Answer.ERROR:
                return answer is Answer.ACCEPTED
            if attempt + 1 < ATTEMPTS:
                await self._sleep(delay)
                delay *= 2
        return False


def build(settings: Settings) -> DeliverStage:
    """The stage under these settings; nothing is opened before ``open``."""
    return DeliverStage(settings)
