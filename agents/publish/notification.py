"""Notifications after "Subscriptions R5 Backport" 1.1.0 for FHIR R4: a ``history`` Bundle that begins with the status of the subscription.

https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/notifications.html, payloads.html
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

import msgspec

from agents.publish.names import IDENTIFIER, Object
from agents.publish.subscriptions import TOPIC, Subscription
from schemas.errors import MalformedMessage, Reason
from schemas.fhir.json import decode, encode
from schemas.ids import derived_id

Kind = Literal["handshake", "heartbeat", "event-notification"]
#: http://hl7.org/fhir/R4/valueset-subscription-status.html
Status = Literal["requested", "active", "error"]

_GUIDE = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"
_BUNDLE_PROFILE = f"{_GUIDE}/backport-subscription-notification-r4"
_STATUS_PROFILE = f"{_GUIDE}/backport-subscription-status-r4"


class Focus(msgspec.Struct, frozen=True, array_like=True):
    """One resource that came: its type, the value of its ``urn:x-nlp`` identifier, its place in the Bundle."""

    kind: str
    value: str
    url: str


class News(msgspec.Struct, frozen=True, array_like=True):
    """The events of one published Bundle: so many wanted resources came at ``time``. ``focus``: which, unless the subscriber hears of no
    resource; ``bundle``: where it gets whole resources."""

    time: str
    count: int
    focus: tuple[Focus, ...] = ()
    bundle: bytes | None = None


def news(subscription: Subscription, time: str, bundle: bytes) -> News | None:
    """What this published Bundle is to the subscriber; ``None`` where it has nothing of the wanted types. Only our own identifiers are told.

    Raises:
        MalformedMessage: it is no collection Bundle.
    """
    try:
        found = decode(bundle)
        if found["resourceType"] != "Bundle" or found["type"] != "collection":
            raise MalformedMessage(Reason.MALFORMED_FHIR, path="Bundle.type")
        focus = tuple(
            Focus(row["resource"]["resourceType"], identifier["value"], row["fullUrl"])
            for row in found["entry"]
            if row["resource"]["resourceType"] in subscription.resources
            for identifier in _identifiers(row["resource"])[:1]
        )
    except (KeyError, TypeError):
        raise MalformedMessage(Reason.MALFORMED_FHIR, path="Bundle.entry") from None
    if not focus:
        return None
    match subscription.content:
        case "empty":
            return News(time, len(focus))
        case "id-only":
            return News(time, len(focus), focus)
        case "full-resource":
            return News(time, len(focus), focus, bundle)


def notification(
    subscription: Subscription, kind: Kind, status: Status, *, events: int, now: str, told: News | None = None
) -> bytes:
    """The Bundle.

    Args:
        events: events since the subscription began; the last ``told.count`` of them are those of ``told``.
        now: an instant.
        told: only of an event notification.
    """
    parameters: list[Object] = [
        {"name": "subscription", "valueReference": {"reference": subscription.reference}},
        *([] if subscription.content == "empty" else [{"name": "topic", "valueCanonical": TOPIC}]),
        {"name": "status", "valueCode": status},
        {"name": "type", "valueCode": kind},
        {"name": "events-since-subscription-start", "valueString": str(events)},
    ]
    entries: list[Object] = []
    if told is not None:
        parameters += _events(subscription, events - told.count + 1, told)
        entries = _entries(told.bundle) if told.bundle is not None else []
    key = derived_id(subscription.name, kind, ordinal=now if told is None else events)
    state = {
        "fullUrl": f"urn:uuid:{key}",
        "resource": {"resourceType": "Parameters", "id": key, "meta": {"profile": [_STATUS_PROFILE]}, "parameter": parameters},
        "request": {"method": "GET", "url": f"{subscription.reference}/$status"},
        "response": {"status": "200"},
    }
    return encode(
        {
            "resourceType": "Bundle",
            "id": key,
            "meta": {"profile": [_BUNDLE_PROFILE]},
            "type": "history",
            "timestamp": now,
            "entry": [state, *entries],
        }
    )


def _events(subscription: Subscription, first: int, told: News) -> list[Object]:
    rows: list[Object] = []
    for index in range(told.count):
        parts: list[Object] = [
            {"name": "event-number", "valueString": str(first + index)},
            {"name": "timestamp", "valueInstant": told.time},
        ]
        if told.focus:
            parts.append({"name": "focus", "valueReference": _reference(subscription, told, told.focus[index])})
        rows.append({"name": "notification-event", "part": parts})
    return rows


def _reference(subscription: Subscription, told: News, focus: Focus) -> Object:
    """By identifier, because the server that holds the resource gave it its id; with the address of a search where the server is known."""
    found: Object = {"type": focus.kind, "identifier": {"system": IDENTIFIER, "value": focus.value}}
    if told.bundle is not None:
        return {"reference": focus.url} | found
    if subscription.server is not None:
        query = f"{focus.kind}?identifier={IDENTIFIER}%7C{quote(focus.value, safe='')}"
        return {"reference": f"{subscription.server.rstrip('/')}/{query}"} | found
    return found


def _entries(bundle: bytes) -> list[Object]:
    """``request`` and ``response`` are required of every entry of a history (bdl-3, bdl-4)."""
    return [
        {
            "fullUrl": row["fullUrl"],
            "resource": row["resource"],
            "request": {"method": "PUT", "url": f"{row['resource']['resourceType']}/{row['resource']['id']}"},
            "response": {"status": "200"},
        }
        for row in decode(bundle)["entry"]
    ]


def _identifiers(resource: Object) -> list[Object]:
    rows = resource.get("identifier", [])
    return [row for row in (rows if isinstance(rows, list) else [rows]) if row.get("system") == IDENTIFIER]
