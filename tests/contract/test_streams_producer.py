"""The producer's promise: an answer is Kafka's own delivery report, whatever goes wrong."""

from __future__ import annotations

import asyncio

import pytest

from schemas.errors import BrokerUnavailable, ConfigurationError, UnsupportedContent
from streams.producer import Producer, Stored
from streams.record import Output
from streams.settings import Kafka
from tests.support.streams_site import Site, values
from tests.support.streams_stage import WRITES


async def test_records_are_stored_before_the_answer_and_in_order(site: Site) -> None:
    """A resolved future means that a reader can see the record; offsets of one key rise."""
    producer = Producer(site.settings.kafka, client_id="t")
    answers = await producer.send_all([Output(WRITES, b"one-key", b"%d" % n, (("h", b"v"),)) for n in range(500)])
    assert all(isinstance(answer, Stored) for answer in answers)
    offsets = [answer.offset for answer in answers if isinstance(answer, Stored)]
    assert offsets == list(range(500))
    stored = await producer.send(Output(WRITES, b"one-key", b"last"))
    assert stored.offset == 500
    out = await asyncio.to_thread(site.read, at_least=501)
    assert sorted(values(out)) == sorted([b"%d" % n for n in range(500)] + [b"last"])
    await producer.close()


@pytest.mark.kafka
async def test_an_unknown_topic_is_a_configuration_error(kafka_site: Site) -> None:
    """Auto-creation is off: a topic that nobody applied is named, not made."""
    kafka = kafka_site.settings.kafka.model_copy(update={"delivery_timeout_s": 3.0})
    producer = Producer(kafka, client_id="t")
    (answer,) = await producer.send_all([Output("phi.absent.x.v1", b"k", b"v")])
    assert isinstance(answer, (ConfigurationError, BrokerUnavailable))
    assert answer.path == "phi.absent.x.v1"
    await producer.close()


@pytest.mark.kafka
async def test_a_record_over_the_limit_is_refused_before_it_is_sent(kafka_site: Site) -> None:
    """The limit leaves room for the headers of a dead letter; at the limit a record is stored."""
    kafka = kafka_site.settings.kafka
    producer = Producer(kafka, client_id="t")
    with pytest.raises(UnsupportedContent):
        producer.send(Output(WRITES, b"k", bytes(kafka.max_record_bytes)))
    stored = await producer.send(Output(WRITES, b"k", bytes(kafka.max_record_bytes - 70_000)))
    assert isinstance(stored, Stored)
    await producer.close()


async def test_without_a_broker_nothing_is_ever_reported_as_stored() -> None:
    """The future fails after the delivery timeout; a full buffer refuses at once."""
    producer = Producer(Kafka(bootstrap="127.0.0.1:1", delivery_timeout_s=1.0), client_id="t")
    with pytest.raises(BrokerUnavailable):
        await producer.send(Output(WRITES, b"k", b"v"))
    waiting: list[asyncio.Future[Stored]] = []

    def fill() -> None:
        for _ in range(60_000):
            waiting.append(producer.send(Output(WRITES, b"k", b"v")))  # noqa: PERF401 - raises on the way

    with pytest.raises(BrokerUnavailable, match="buffer"):
        fill()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(outcome, BrokerUnavailable) for outcome in outcomes)
    await producer.close()
