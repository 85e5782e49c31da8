"""One message's way through the topics, read from their headers alone: where, when, under which versions, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from schemas.ids import source_id
from streams import dead_letters, topics
from streams.dead_letters import first_place
from streams.record import Record

#: In the order of the way, each with its dead letters.
WAY = (topics.RECEIVED, topics.READY, topics.EXTRACTED, topics.RAISED, topics.BUNDLE, topics.RESULT, topics.SAMPLE)


@dataclass(frozen=True, slots=True)
class Step:
    """One record of the message. ``after_ms``: from its receipt to this record; ``outcome``: ``stored`` or the dead letter's reason."""

    topic: str
    place: str
    time: int
    after_ms: int | None
    id: str
    policy: str
    model: str
    outcome: str
    field: str


def topics_of_the_way() -> list[str]:
    return [
        name for topic in WAY for name in (topic, *([topics.dead_letter(topic)] if topics.BY_NAME[topic].dead_letters else []))
    ]


def origin_of(record: Record) -> str:
    """The id of the raw message that the record goes back to; empty when it does not say."""
    headers = dict(record.headers)
    said = headers.get("ce_origin", b"").decode("utf-8", "replace")
    if said or record.topic not in (topics.RECEIVED, topics.dead_letter(topics.RECEIVED)):
        return said
    if dead_letters.ORIGINAL_TOPIC in headers and dead_letters.FIRST_PLACE not in headers:
        parts = [
            headers.get(name, b"").decode("ascii", "replace")
            for name in (dead_letters.ORIGINAL_TOPIC, dead_letters.ORIGINAL_PARTITION, dead_letters.ORIGINAL_OFFSET)
        ]
        return source_id("kafka", *parts)
    return source_id("kafka", *map(str, first_place(record)))


def steps(records: Iterable[Record], message: str) -> list[Step]:
    """The message's records in the order of the way. ``message``: its id (``ce_origin``), or the id or place of any of its records."""
    kept = [(record, origin_of(record)) for record in records]
    wanted = {message} | {origin for record, origin in kept if message in (_id(record), _place(record)) and origin}
    found = [record for record, origin in kept if origin in wanted]
    order = {name: number for number, name in enumerate(topics_of_the_way())}
    found.sort(key=lambda record: (order.get(record.topic, len(order)), record.timestamp, record.offset))
    return [_step(record) for record in found]


def _step(record: Record) -> Step:
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    refused = record.topic.endswith(".dlq")
    return Step(
        topic=record.topic,
        place=_place(record),
        time=record.timestamp,
        after_ms=_after(headers.get("ce_time", ""), record.timestamp),
        id=headers.get("ce_id", ""),
        policy=headers.get("deid-policy", ""),
        model=headers.get("model-version", ""),
        outcome=headers.get(dead_letters.ERROR_CODE, "") if refused else "stored",
        field=headers.get(dead_letters.ERROR_FIELD, "") if refused else "",
    )


def _after(received: str, timestamp: int) -> int | None:
    try:
        return round(timestamp - datetime.fromisoformat(received).timestamp() * 1000)
    except ValueError:
        return None


def _id(record: Record) -> str:
    return dict(record.headers).get("ce_id", b"").decode("utf-8", "replace")


def _place(record: Record) -> str:
    return f"{record.topic}/{record.partition}/{record.offset}"
