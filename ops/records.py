"""Our records as a topic holds them now."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TypeVar

import msgspec

from streams import topics
from streams.settings import Kafka
from streams.tail import tail

T = TypeVar("T")


def records_of(kafka: Kafka, topic: str, kind: type[T], since: datetime | None = None) -> Iterator[T]:
    """Records of this instant and later, of a compacted topic the newest of each key; erased ones and those of another version are passed over.

    Raises BrokerUnavailable.
    """
    decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(kind)
    compacted = "compact" in topics.BY_NAME[topic].cleanup
    first = 0 if since is None else since.timestamp() * 1000  # a broker may give more than was asked for
    newest: dict[bytes | None, T] = {}
    for record in tail(kafka, [topic], to_end=True, since=since):
        if record.timestamp < first:
            continue
        if record.value is None:
            newest.pop(record.key, None)
            continue
        try:
            value = decoder.decode(record.value)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        if compacted:
            newest[record.key] = value
        else:
            yield value
    yield from newest.values()
