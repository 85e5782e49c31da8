"""The one way in: a record is handed to Kafka, and nobody hears "accepted" before the delivery report.

What waits for its report is bounded; beyond that the sender is told to come back, so that an outage of Kafka fills the senders'
queues, which are durable, and not this process's memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from schemas.envelope import DataClass, Envelope
from schemas.errors import BrokerUnavailable
from streams import topics
from streams.record import Output
from streams.sealing import ALGORITHM, Seal

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


class Log(Protocol):
    """Where records go (``streams.producer``)."""

    def send(self, output: Output) -> asyncio.Future[Any]:
        """Hand over; the future resolves from the delivery report or fails with a WardstreamError.

        Raises:
            BrokerUnavailable: the local buffer is full.
            UnsupportedContent: too large for the topic.
        """


class Busy(BrokerUnavailable):
    """As many records wait for their delivery report as may."""


class Intake:
    """Shared by all doors. ``in_flight`` counts records whose delivery report is outstanding.

    Args:
        log: the producer.
        max_in_flight: bound of ``in_flight``.
        clock: time of receipt, in ``ce_time``.
        seal: seals payloads under their patient's key; ``None`` stores them in clear.
        delivered: told the seconds from hand-over to delivery report (metrics).
    """

    def __init__(
        self,
        log: Log,
        *,
        max_in_flight: int,
        clock: Clock = utc_now,
        seal: Seal | None = None,
        delivered: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._log = log
        self._seal = seal
        self._max_in_flight = max_in_flight
        self._clock = clock
        self._delivered = delivered
        self._idle = asyncio.Event()
        self._idle.set()
        self.in_flight = 0

    @property
    def full(self) -> bool:
        return self.in_flight >= self._max_in_flight

    def now(self) -> datetime:
        return self._clock()

    async def store(
        self, payload: bytes, *, record_id: str, key: bytes, source: str, content_type: str, traceparent: str | None = None
    ) -> None:
        """Write one raw message durably.

        Raises:
            Busy: too much is in flight.
            BrokerUnavailable: Kafka did not store it in time.
            StoreUnavailable: the patient's payload key cannot be had.
        """
        if self.full:
            raise Busy(detail="in-flight limit")
        envelope = Envelope(
            id=record_id,
            source=source,
            type=topics.BY_NAME[topics.RECEIVED].event_type,
            time=self._clock().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            content_type=content_type,
            data_class=DataClass.RESTRICTED,
            origin=record_id,
            traceparent=traceparent,
            seal=ALGORITHM if self._seal else None,
        )
        loop = asyncio.get_running_loop()
        begun = loop.time()
        self.in_flight += 1
        self._idle.clear()
        try:
            value = await self._seal.seal(key, content_type, payload) if self._seal else payload
            await self._log.send(Output(topics.RECEIVED, key, value, envelope.headers()))
            self._delivered(loop.time() - begun)
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()

    async def drained(self) -> None:
        """Wait until nothing is in flight."""
        await self._idle.wait()
