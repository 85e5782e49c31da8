"""Records of a topic chosen and copied, into the topic itself or a shadow of it. What was copied says from where, so that a copy goes on where it was cut off.

A shadow is an installation of its own beside the live one: the same topics under a prefix, with groups, contexts and outcomes of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from schemas.envelope import FHIR_JSON, HL7_V2
from schemas.hl7.header import header_field
from streams import topics
from streams.dead_letters import FIRST_PLACE, first_place
from streams.record import Output, Record
from streams.settings import Kafka
from streams.tail import tail

#: Name of the replay, and where the record was copied from: ``topic/partition/offset``.
REPLAY = "x-replay"
FROM = "x-replayed-from"

#: From which topics a replay may start, and the stages that a shadow then runs.
STARTS: Mapping[str, tuple[str, ...]] = {
    topics.RECEIVED: ("deidentify", "extract", "decide"),
    topics.READY: ("extract", "decide"),
    topics.EXTRACTED: ("decide",),
}


@dataclass(frozen=True, slots=True)
class Selection:
    """What is wanted of one topic; an empty set or ``None`` is everything.

    Attributes:
        since, until: aware instants of the records' Kafka timestamps, the second exclusive.
        offsets: partition -> first and last offset, both inclusive; other partitions are left out.
        tokens: patient tokens, which are the keys of all topics but the first.
        sources: ``ce_source``, which on the first topic names the door.
        kinds: ``ORU^R01`` or a resource type.
        facilities: sending facility: a component of MSH-4, or the ``meta.source`` of a resource; on the first topic alone, for later ones do not
            have it.
        models: parts of ``model-version``.
    """

    topic: str
    since: datetime | None = None
    until: datetime | None = None
    offsets: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    tokens: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    facilities: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()

    @property
    def looks_inside(self) -> bool:
        """Whether raw messages must be opened to choose."""
        return self.topic == topics.RECEIVED and bool(self.kinds or self.facilities)

    def takes(self, record: Record, opened: Callable[[Record], Record] = lambda record: record) -> bool:
        """``opened``: makes a sealed record readable; asked only where what stands inside decides, and last."""
        headers = {name: value.decode("utf-8", "replace") for name, value in record.headers}
        if REPLAY in headers or (self.until is not None and record.timestamp >= self.until.timestamp() * 1000):
            return False
        if self.offsets:
            first, last = self.offsets.get(record.partition, (1, 0))
            if not first <= record.offset <= last:
                return False
        return (
            (not self.tokens or (record.key or b"").decode("ascii", "replace") in self.tokens)
            and (not self.sources or headers.get("ce_source", "") in self.sources)
            and (not self.models or any(model in headers.get("model-version", "") for model in self.models))
            and self._takes_content(opened(record) if self.looks_inside else record)
        )

    def _takes_content(self, record: Record) -> bool:
        return (not self.kinds or kind_of(record) in self.kinds) and (
            not self.facilities or not self.facilities.isdisjoint(facilities_of(record))
        )


class _Meta(msgspec.Struct, frozen=True):
    source: str = ""


class _Kind(msgspec.Struct):
    kind: str = ""
    resourceType: str = ""  # noqa: N815 - FHIR's name
    meta: _Meta = _Meta()


def kind_of(record: Record) -> str:
    """Type of the message in a de-identified or findings record; empty where it does not say."""
    value, content_type = record.value or b"", dict(record.headers).get("content-type", b"").decode("ascii", "replace")
    if content_type == HL7_V2:
        parts = header_field(value, 9).decode("ascii", "replace").split("^")
        return "^".join(parts[:2])
    try:
        found = msgspec.json.decode(value, type=_Kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    return found.resourceType if content_type == FHIR_JSON else found.kind


def facilities_of(record: Record) -> frozenset[str]:
    """Names of the sending facility in a readable raw record."""
    value, content_type = record.value or b"", dict(record.headers).get("content-type", b"").decode("ascii", "replace")
    if content_type == HL7_V2:
        delimiters = header_field(value, 2)[:1] or b"^"
        return frozenset(part.decode("utf-8", "replace") for part in header_field(value, 4).split(delimiters) if part)
    try:
        source = msgspec.json.decode(value, type=_Kind).meta.source
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return frozenset()
    return frozenset({source}) - {""}


def chosen(kafka: Kafka, selection: Selection, opened: Callable[[Record], Record] = lambda record: record) -> Iterator[Record]:
    """Records of the topic as it ends now, sealed as they are; in order within a partition. Raises BrokerUnavailable."""
    for record in tail(kafka, [selection.topic], to_end=True, since=selection.since):
        if selection.takes(record, opened):
            yield record


def copied(kafka: Kafka, topic: str, name: str) -> frozenset[str]:
    """Places that the replay ``name`` copied into the topic already. Raises BrokerUnavailable."""
    return frozenset(
        headers[FROM].decode("utf-8", "replace")
        for record in tail(kafka, [topic], to_end=True)
        if (headers := dict(record.headers)).get(REPLAY) == name.encode() and FROM in headers
    )


def place(record: Record) -> str:
    return f"{record.topic}/{record.partition}/{record.offset}"


def copy_of(record: Record, name: str) -> Output:
    """The record again, with its own key, value, headers and, where it has no other time, its timestamp."""
    headers = dict(record.headers)
    extra = [(REPLAY, name.encode()), (FROM, place(record).encode())]
    if "ce_id" not in headers and FIRST_PLACE not in headers:
        extra.append((FIRST_PLACE, "/".join(map(str, first_place(record))).encode()))
    return Output(
        record.topic, record.key, record.value, (*record.headers, *extra), None if "ce_time" in headers else record.timestamp
    )


def shadow(kafka: Kafka, name: str) -> Kafka:
    """The settings of the shadow ``name`` on the same cluster."""
    return kafka.model_copy(update={"topic_prefix": f"{kafka.topic_prefix}shadow-{name}."})
