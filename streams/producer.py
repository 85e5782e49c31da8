"""The one way to write to the log: a confluent-kafka producer whose answers are Kafka's own delivery reports.

``acks=all`` with idempotence: a record counts as stored when every in-sync replica has it, and a retry inside the client
neither duplicates nor reorders. Faust's own producer is not used (engine measurements: a third of the throughput).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as ConfluentProducer

from schemas.errors import BrokerUnavailable, ConfigurationError, Reason, UnsupportedContent, WardstreamError
from streams import clients
from streams.record import Output
from streams.settings import Kafka

#: Kept free in every record so that its dead letter, with the headers that it gains, still fits the broker's limit.
DEAD_LETTER_MARGIN = 65_536

_FULL_PAUSE_S = 0.01
#: Broker answers that no waiting will change: the installation is wrong, not the weather.
_CONFIGURATION_CODES = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError._AUTHENTICATION,
    }
)


@dataclass(frozen=True, slots=True)
class Stored:
    """Where Kafka put a record."""

    partition: int
    offset: int


def size(output: Output) -> int:
    """Bytes that the record takes on the wire, give or take a few tens for framing."""
    return (
        len(output.key or b"") + len(output.value or b"") + sum(len(name) + len(value) + 8 for name, value in output.headers) + 64
    )


class Producer:
    """One per process; made and used on one running event loop, closed with ``await close()``.

    Args:
        linger_ms: what a record waits for others before it leaves. A sender waits for its acknowledgement with nothing else outstanding, and a
            stage for its whole batch: every millisecond here is one of theirs.
    """

    def __init__(self, kafka: Kafka, *, client_id: str, linger_ms: float = 1) -> None:
        self._kafka = kafka
        self._loop = asyncio.get_running_loop()
        self._client = ConfluentProducer(
            {
                **clients.librdkafka(kafka, client_id=client_id),
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": linger_ms,
                "batch.size": 262_144,
                "compression.type": "lz4",
                "message.max.bytes": kafka.max_record_bytes,
                "delivery.timeout.ms": int(kafka.delivery_timeout_s * 1000),
                # Java's placement: records of one key fall into one partition whichever client wrote them
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": 50_000,
                "queue.buffering.max.kbytes": 262_144,
            },
            logger=logging.getLogger("librdkafka"),
        )
        self._reports: deque[tuple[asyncio.Future[Stored], Stored | WardstreamError]] = deque()
        self._waking = False
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="producer-reports", daemon=True)
        self._poller.start()

    def __len__(self) -> int:
        """Records handed over and not yet reported on."""
        return len(self._client)

    def send(self, output: Output) -> asyncio.Future[Stored]:
        """Hand one record over; the future resolves from Kafka's delivery report, never before.

        The future fails with ``BrokerUnavailable`` (not stored within ``delivery_timeout_s``), ``ConfigurationError``
        (unknown topic, no permission) or ``UnsupportedContent`` (too large for the broker).

        Raises:
            BrokerUnavailable: the local buffer is full, the caller must slow down.
            UnsupportedContent: the record is larger than ``max_record_bytes`` less the margin of a dead letter.
        """
        if size(output) > self._kafka.max_record_bytes - DEAD_LETTER_MARGIN and not output.topic.endswith(".dlq"):
            raise UnsupportedContent(Reason.TOO_LARGE, path=output.topic)
        future: asyncio.Future[Stored] = self._loop.create_future()

        def report(error: KafkaError | None, message: Message) -> None:
            if error is None:
                self._resolve(future, Stored(message.partition(), message.offset()))
            else:
                self._resolve(future, _error(error, output.topic))

        try:
            self._client.produce(
                self._kafka.topic_prefix + output.topic,
                value=output.value,
                key=output.key,
                headers=list(output.headers),
                timestamp=output.timestamp or 0,
                on_delivery=report,
            )
        except BufferError:
            raise BrokerUnavailable(path=output.topic, detail="the local buffer is full") from None
        except KafkaException as error:
            raise _error(error.args[0], output.topic) from None
        return future

    async def produce(self, output: Output) -> None:
        """``send`` and wait for the delivery report; raises what the future of ``send`` fails with."""
        await self.send(output)

    async def send_all(self, outputs: Sequence[Output]) -> list[Stored | WardstreamError]:
        """Hand records over in order, waiting where the buffer is full, and wait for every delivery report.

        Returns one answer per output, same order; nothing is raised for a record.
        """
        answers = [await self._send_waiting(output) for output in outputs]
        return [answer if isinstance(answer, WardstreamError) else await _settled(answer) for answer in answers]

    async def _send_waiting(self, output: Output) -> asyncio.Future[Stored] | WardstreamError:
        deadline = self._loop.time() + self._kafka.delivery_timeout_s
        while True:
            try:
                return self.send(output)
            except BrokerUnavailable as error:
                if self._loop.time() > deadline:
                    return error
                await asyncio.sleep(_FULL_PAUSE_S)
            except WardstreamError as error:
                return error

    async def flush(self) -> int:
        """Wait until every record is reported on, at most ``delivery_timeout_s``; returns how many are still open."""
        return await asyncio.to_thread(self._client.flush, self._kafka.delivery_timeout_s)

    async def close(self) -> None:
        """Flush and end the poll thread."""
        await self.flush()
        self._closing.set()
        await asyncio.to_thread(self._poller.join, 5)

    def _poll(self) -> None:
        while not self._closing.is_set():
            self._client.poll(0.1)

    def _resolve(self, future: asyncio.Future[Stored], answer: Stored | WardstreamError) -> None:
        # in the poll thread: one wake-up of the loop serves all reports that have come since the last one
        with self._lock:
            self._reports.append((future, answer))
            if self._waking:
                return
            self._waking = True
        try:
            self._loop.call_soon_threadsafe(self._drain)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    def _drain(self) -> None:
        with self._lock:
            reports, self._reports = self._reports, deque()
            self._waking = False
        for future, answer in reports:
            if future.done():
                continue
            if isinstance(answer, WardstreamError):
                future.set_exception(answer)
            else:
                future.set_result(answer)


async def _settled(future: asyncio.Future[Stored]) -> Stored | WardstreamError:
    try:
        return await future
    except WardstreamError as error:
        return error


def _error(error: KafkaError, topic: str) -> WardstreamError:
    code = error.code()
    if code == KafkaError.MSG_SIZE_TOO_LARGE:
        return UnsupportedContent(Reason.TOO_LARGE, path=topic)
    if code in _CONFIGURATION_CODES:
        return ConfigurationError(path=topic, detail=str(error.name()))
    return BrokerUnavailable(path=topic, detail=str(error.name()))
