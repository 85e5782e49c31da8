"""A record as a stage sees it and as a stage wants it written; plain bytes, no client types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import msgspec

from schemas.envelope import Headers
from schemas.errors import Reason, SchemaMismatch

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Record:
    """One consumed record. ``timestamp`` is the Kafka timestamp in milliseconds since the Unix epoch."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    def __repr__(self) -> str:  # values and keys never reach a log
        return f"<Record {self.topic}/{self.partition}/{self.offset}>"


@dataclass(frozen=True, slots=True)
class Output:
    """One record to produce. ``topic`` is the logical name of ``streams.topics``; ``timestamp`` None means now."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp: int | None = None

    def __repr__(self) -> str:
        return f"<Output {self.topic}>"


def decoded(value: bytes | None, decoder: msgspec.json.Decoder[T]) -> T:
    """What a record's value says. Raises SchemaMismatch when it is no such record of this version; the error holds nothing of it."""
    try:
        return decoder.decode(value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise SchemaMismatch(Reason.SCHEMA_MISMATCH, path="value") from None
