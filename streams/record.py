"""A record as a stage sees it and as a stage wants it written; plain bytes, no client types."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.envelope import Headers


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
