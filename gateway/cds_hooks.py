"""The CDS Hooks 2.0 door: discovery, cards from the store, feedback as weak labels. Nothing is computed while a clinician waits.

Answers hold no identifier; errors say in a word of ours what is wrong with the request, never what stood in it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.cds_services import SERVICES, Service
from gateway.cds_tokens import Client, Refusal, Tokens
from schemas.cards import OVERRIDES, Card, CardFeedback, KeptCard, Outcome
from schemas.envelope import JSON, DataClass, Envelope
from schemas.errors import StoreUnavailable, WardstreamError
from schemas.ids import derived_id
from streams import topics
from streams.card_index import CardIndex
from streams.logs import describe
from streams.record import Output
from streams.settings import Cds

MOST_CARDS = 10
MOST_BYTES = 1_048_576
_ORDER = {"critical": 0, "warning": 1, "info": 2}
_CONTEXT: dict[str, type] = {"selections": list, "draftOrders": dict}
_KEPT = msgspec.json.Decoder(KeptCard)
_log = structlog.get_logger("cds")

#: Reads the cards of these rows. Raises StoreUnavailable.
Fetch = Callable[[Sequence[str]], Awaitable[list[bytes]]]
Produce = Callable[[Output], Awaitable[None]]


class Bad(Exception):
    """The request cannot be answered: status and a word of ours."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


class CdsDoor:
    """``tokens`` None: development, every caller is believed; the settings must say so."""

    def __init__(
        self,
        settings: Cds,
        index: CardIndex,
        tokens: Tokens | None,
        fetch: Fetch,
        produce: Produce,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._index, self._tokens = settings, index, tokens
        self._fetch, self._produce, self._clock = fetch, produce, clock
        self.registry = CollectorRegistry()
        self._shown = Counter("wardstream_cds_cards_shown", "Cards answered", ["service", "type"], registry=self.registry)
        self._feedback = Counter(
            "wardstream_cds_feedback", "What became of cards", ["service", "outcome"], registry=self.registry
        )

    def app(self) -> Starlette:
        cors = Middleware(
            CORSMiddleware,
            allow_origins=list(self._settings.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type"],
        )
        return Starlette(
            routes=[
                Route("/livez", self._live, methods=["GET"]),
                Route("/metrics", self._metrics, methods=["GET"]),
                Route("/cds-services", self._served(self._discover), methods=["GET"]),
                Route("/cds-services/{id}", self._served(self._cards), methods=["POST"]),
                Route("/cds-services/{id}/feedback", self._served(self._take), methods=["POST"]),
            ],
            middleware=[cors],
        )

    def _served(self, handle: Callable[[Request, Client], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            try:
                return await handle(request, await self._client(request))
            except Refusal as error:
                _log.warning("refused", why=error.why)
                return _answer({"error": "unauthorized"}, 401, {"www-authenticate": "Bearer"})
            except Bad as error:
                return _answer({"error": error.why}, error.status)
            except StoreUnavailable:
                return _answer({"error": "store unavailable"}, 503, {"retry-after": "5"})
            except WardstreamError as error:
                return _answer({"error": error.reason.value}, 503, {"retry-after": "5"})
            except ClientDisconnect:
                return Response(status_code=400)
            except Exception as error:
                _log.error("request_failed", **describe(error))
                return _answer({"error": "unexpected"}, 500)

        return serve

    async def _client(self, request: Request) -> Client:
        if self._tokens is None:
            return Client("development")
        given = [value for name, value in request.headers.raw if name == b"authorization"]
        return await self._tokens.check(given, f"{self._settings.base_url.rstrip('/')}{request.url.path}", self._clock())

    async def _discover(self, _request: Request, _client: Client) -> Response:
        return _answer({"services": [service.described() for service in SERVICES.values()]})

    async def _cards(self, request: Request, _client: Client) -> Response:
        service, body = _service(request), await _body(request)
        context = _context(service, body)
        rows = list(self._rows(context, body.get("prefetch")))
        oldest = datetime.fromtimestamp(self._clock(), UTC) - timedelta(days=self._settings.days)
        found: dict[str, KeptCard] = {}
        for value in await self._fetch(rows):
            kept = _KEPT.decode(value)
            if service.takes(kept.type) and _time(kept.time) >= oldest:
                found[kept.card.uuid] = kept
        chosen = sorted(found.values(), key=lambda kept: kept.time, reverse=True)
        chosen.sort(key=lambda kept: _ORDER[kept.card.indicator])
        for kept in chosen[:MOST_CARDS]:
            self._shown.labels(service.id, kept.type).inc()
        cards: list[Card] = [kept.card for kept in chosen[:MOST_CARDS]]
        return _answer({"cards": cards})

    def _rows(self, context: dict[str, Any], prefetch: object) -> Iterable[str]:
        """Places where the patient's cards may lie: by every identifier of the prefetched Patient, else by the id under the site's authority."""
        patient = prefetch.get("patient") if isinstance(prefetch, dict) else None
        if patient is not None and (not isinstance(patient, dict) or patient.get("resourceType") != "Patient"):
            raise Bad(412, "prefetch.patient is no Patient")
        if isinstance(patient, dict) and patient.get("id") not in (None, context["patientId"]):
            raise Bad(412, "prefetch.patient is another patient")
        numbers = 0
        identifiers = (patient or {}).get("identifier")
        for one in identifiers if isinstance(identifiers, list) else ():
            value, system = (one.get("value"), one.get("system", "")) if isinstance(one, dict) else (None, "")
            if isinstance(value, str) and value.strip() and isinstance(system, str):
                numbers += 1
                yield self._index.row(system, value)
        if self._settings.authority is not None:
            yield self._index.row(self._settings.authority, context["patientId"])
        elif not numbers:
            raise Bad(412, "prefetch.patient with an identifier is needed")

    async def _take(self, request: Request, client: Client) -> Response:
        service, body = _service(request), await _body(request)
        rows = body.get("feedback")
        if not isinstance(rows, list) or not rows or len(rows) > 100:
            raise Bad(400, "feedback is a list of 1 to 100")
        outputs = [self._label(service, client, row) for row in rows]
        for output, outcome in outputs:
            await self._produce(output)
            self._feedback.labels(service.id, outcome).inc()
        return _answer({})

    def _label(self, service: Service, client: Client, row: object) -> tuple[Output, str]:
        if not isinstance(row, dict) or row.get("outcome") not in ("accepted", "overridden"):
            raise Bad(400, "outcome is accepted or overridden")
        try:
            card = str(uuid.UUID(str(row.get("card"))))
        except ValueError:
            raise Bad(400, "card is the uuid of a card") from None
        outcome: Outcome = row["outcome"]
        reason = ""
        if outcome == "overridden":
            given = row.get("overrideReason")
            coded = given.get("reason") if isinstance(given, dict) else None
            code = coded.get("code") if isinstance(coded, dict) else None
            reason = code if code in {one.code for one in OVERRIDES} else "other"  # a comment may name anybody: it is not kept
        label = CardFeedback(
            id=derived_id(card, "cds.feedback", ordinal=f"{client.issuer}|{outcome}|{reason}"),
            card=card,
            service=service.id,
            outcome=outcome,
            reason=reason,
            time=datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            issuer=client.issuer,
        )
        headers = Envelope(
            id=label.id, source="/cds", type=topics.BY_NAME[topics.FEEDBACK].event_type, time=label.time, content_type=JSON,
            data_class=DataClass.INTERNAL, origin=card,
        ).headers()  # fmt: skip
        return Output(topics.FEEDBACK, card.encode(), msgspec.json.encode(label), headers), outcome

    async def _live(self, _request: Request) -> Response:
        return _answer({"status": "alive"})

    async def _metrics(self, _request: Request) -> Response:
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)


def _service(request: Request) -> Service:
    service = SERVICES.get(request.path_params["id"])
    if service is None:
        raise Bad(404, "no such service")
    return service


async def _body(request: Request) -> dict[str, Any]:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MOST_BYTES:
            raise Bad(413, "too large")
    try:
        body = msgspec.json.decode(bytes(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Bad(400, "not JSON") from None
    if not isinstance(body, dict):
        raise Bad(400, "not an object")
    return body


def _context(service: Service, body: dict[str, Any]) -> dict[str, Any]:
    if body.get("hook") != service.hook:
        raise Bad(400, "hook is not the service's")
    try:
        uuid.UUID(str(body.get("hookInstance")))
    except ValueError:
        raise Bad(400, "hookInstance is a UUID") from None
    context = body.get("context")
    if not isinstance(context, dict):
        raise Bad(400, "context is an object")
    for name in service.needs:
        kind = _CONTEXT.get(name, str)
        if not context.get(name) or not isinstance(context[name], kind):
            raise Bad(400, f"context.{name} is missing or of another type")
    return context


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)  # a card without a time is shown
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _answer(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(body), status, {"cache-control": "no-store", **(headers or {})}, media_type="application/json"
    )
