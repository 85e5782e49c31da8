"""One FHIR resource or Bundle in, raw records out, and what to answer. Pure of HTTP.

A single resource and a Bundle of one patient are stored as the bytes received; a Bundle of several patients becomes one Bundle
per patient, so that each record has one key. Ids are deterministic: the same content sent again overwrites downstream.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.acknowledge import STORED, Outcome
from gateway.intake import Busy, Intake
from gateway.routing import RoutingKey, fhir_patient
from schemas.envelope import FHIR_JSON
from schemas.errors import BrokerUnavailable, MalformedMessage, Poison, Reason, UnsupportedContent, WardstreamError
from schemas.fhir import json as fhir_json
from schemas.fhir.definitions import is_resource
from schemas.fhir.references import split_by_patient
from schemas.ids import source_id

Resource = dict[str, Any]

SOURCE = "/fhir"
#: Bundle types that carry facts; ``searchset`` and ``history`` are answers, ``*-response`` too.
BUNDLES = frozenset({"batch", "transaction", "collection", "message", "document"})
INTERACTIONS = frozenset({"batch", "transaction"})
_WRITES = frozenset({"POST", "PUT"})
#: Decoding below this size is quicker than handing it to a thread.
INLINE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Entry:
    """Answer to one entry of a batch or transaction: ``reason`` ``None`` is stored."""

    reason: Reason | None = None
    path: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was stored: record ids, and for batch and transaction one ``Entry`` per entry, same order."""

    records: tuple[str, ...]
    kind: str
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class _Record:
    id: str
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True, repr=False)
class _Plan:
    kind: str
    entries: tuple[Entry, ...]
    records: Sequence[_Record]


class FhirDoor:
    """Takes resources and Bundles.

    Args:
        max_depth: nesting that a resource may have.
        observe: told every record's and every refusal's outcome (metrics).
    """

    def __init__(
        self, intake: Intake, routing: RoutingKey, *, max_depth: int, observe: Callable[[Outcome], None] = lambda _: None
    ) -> None:
        self._intake = intake
        self._routing = routing
        self._max_depth = max_depth
        self._observe = observe
        self._planning = asyncio.Semaphore(1)

    async def accept(self, payload: bytes, *, type_name: str | None = None, traceparent: str | None = None) -> Accepted:
        """Store one resource or Bundle durably.

        Args:
            type_name: resource type that the URL names.

        Raises:
            Poison: it cannot be taken as it is.
            Busy, BrokerUnavailable: not everything is stored; sending it again is safe.
        """
        try:
            if len(payload) <= INLINE_BYTES:
                plan = self._plan(payload, type_name)
            else:
                async with self._planning:  # one at a time: a decoded resource takes many times its bytes
                    plan = await asyncio.to_thread(self._plan, payload, type_name)
        except Poison as error:
            self._observe(Outcome(error.reason))
            raise
        for entry in plan.entries:
            if entry.reason is not None:
                self._observe(Outcome(entry.reason))
        return Accepted(await self._store(plan.records, traceparent), plan.kind, plan.entries)

    def _plan(self, payload: bytes, type_name: str | None) -> _Plan:
        resource = fhir_json.decode(payload, max_depth=self._max_depth)
        kind = _kind(resource, type_name)
        parts, entries = _parts(resource, kind)
        whole = len(parts) == 1 and parts[0] is resource
        return _Plan(kind, entries, [self._record(part, payload if whole else fhir_json.encode(part)) for part in parts])

    def _record(self, part: Resource, value: bytes) -> _Record:
        record_id = source_id("fhir", hashlib.sha256(value).hexdigest())
        patient = fhir_patient(part)
        key = self._routing.patient(patient) if patient else self._routing.digest("fhir", record_id.encode())
        return _Record(record_id, key, value)

    async def _store(self, records: Sequence[_Record], traceparent: str | None) -> tuple[str, ...]:
        async def one(record: _Record) -> WardstreamError | None:
            try:
                await self._intake.store(
                    record.value,
                    record_id=record.id,
                    key=record.key,
                    source=SOURCE,
                    content_type=FHIR_JSON,
                    traceparent=traceparent,
                )
            except WardstreamError as error:
                self._observe(Outcome(error.reason))
                return error
            self._observe(STORED)
            return None

        failures = [error for error in await asyncio.gather(*map(one, records)) if error is not None]
        for kind in (Poison, Busy):
            for error in failures:
                if isinstance(error, kind):
                    raise error
        if failures:
            raise BrokerUnavailable
        return tuple(record.id for record in records)


def _parts(resource: Resource, kind: str) -> tuple[Sequence[Resource], tuple[Entry, ...]]:
    """The resources to store, one per patient, and for batch and transaction what to say of each entry.

    One bad entry refuses any Bundle but a batch, whose entries stand alone.
    """
    if kind not in BUNDLES:
        return [resource], ()
    rows = resource.get("entry", [])
    if not isinstance(rows, list) or not rows:
        raise MalformedMessage(Reason.MALFORMED_FHIR, path="Bundle.entry")
    entries = tuple(_judge(row, n, interaction=kind in INTERACTIONS) for n, row in enumerate(rows))
    bad = [entry for entry in entries if entry.reason is not None]
    if bad and kind != "batch":
        raise UnsupportedContent(bad[0].reason, path=bad[0].path)
    if len(bad) == len(rows):
        return [], entries
    if bad:
        kept = [row for row, entry in zip(rows, entries, strict=True) if entry.reason is None]
        resource = {**resource, "entry": kept}
    return split_by_patient(resource), entries


def _kind(resource: Resource, type_name: str | None) -> str:
    """Resource type, or the type of a Bundle that can be taken."""
    name = resource.get("resourceType")
    if not isinstance(name, str) or not name:
        raise MalformedMessage(Reason.MALFORMED_FHIR, path="resourceType")
    if type_name is not None and name != type_name:
        raise UnsupportedContent(Reason.SCHEMA_MISMATCH, path="resourceType", detail="not the type that the URL names")
    if name != "Bundle":
        if not is_resource(name):
            raise UnsupportedContent(Reason.UNSUPPORTED_RESOURCE, path="resourceType")
        return name
    kind = resource.get("type")
    if not isinstance(kind, str) or kind not in BUNDLES:
        raise UnsupportedContent(Reason.UNSUPPORTED_MESSAGE_TYPE, path="Bundle.type")
    return kind


def _judge(row: object, position: int, *, interaction: bool) -> Entry:
    path = f"Bundle.entry[{position}]"
    if not isinstance(row, dict):
        return Entry(Reason.MALFORMED_FHIR, path)
    resource = row.get("resource")
    if interaction:
        request = row.get("request")
        method = request.get("method") if isinstance(request, dict) else "POST"
        if method not in _WRITES:
            return Entry(Reason.UNSUPPORTED_MESSAGE_TYPE, f"{path}.request.method")
    if not isinstance(resource, dict):
        return Entry(Reason.MALFORMED_FHIR, f"{path}.resource")
    name = resource.get("resourceType")
    if not is_resource(name) or name == "Bundle":
        return Entry(Reason.UNSUPPORTED_RESOURCE, f"{path}.resource")
    return Entry()
