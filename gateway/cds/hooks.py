"""The CDS Hooks 2.0 door: discovery, cards from the store, feedback as weak labels. Draft orders are judged on the call's own data; no model runs while a clinician waits.

Answers hold no identifier; errors say in a word of ours what is wrong with the request, never what stood in it.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.cds import coordination
from gateway.cds.fhir import FhirReader
from gateway.cds.request import Bad, draft_check, patient_id, read_context, read_patient, read_record
from gateway.cds.services import SERVICES, Service
from gateway.cds.tokens import Client, Refusal, Tokens
from schemas.cards import OVERRIDES, CardFeedback, CheckedCard, DraftCheck, KeptCard, Outcome
from schemas.envelope import JSON, DataClass, Envelope
from schemas.errors import MalformedMessage, StoreUnavailable, WardstreamError
from schemas.fhir.json import decode
from schemas.ids import derived_id
from streams import topics
from streams.card_index import CardIndex
from streams.logs import describe
from streams.record import Output
from streams.settings import Cds

MOST_CARDS = 10
MOST_BYTES = 4 * 1_048_576
_ORDER = {"critical": 0, "warning": 1, "info": 2}
_KEPT = msgspec.json.Decoder(KeptCard)
_log = structlog.get_logger("cds")

#: Reads the cards of these rows. Raises StoreUnavailable.
Fetch = Callable[[Sequence[str]], Awaitable[list[bytes]]]
Produce = Callable[[Output], Awaitable[None]]


#: Judges draft orders. Pure, but not quick: called in a thread.
Check = Callable[[DraftCheck, datetime], tuple[CheckedCard, ...]]


class Shown(Protocol):
    """Which cards the door has shown, for as long as somebody may answer one: by uuid, without the patient. Raises StoreUnavailable."""

    async def keep(self, cards: Sequence[tuple[str, str]]) -> None:
        """Pairs of a card's uuid and its flag's type."""

    async def type_of(self, card: str) -> str | None:
        """``None``: no such card was shown."""

    async def remember(self, place: str, marks: frozenset[str]) -> None:
        """What was shown at selection (``gateway.cds.coordination``), for as long as one orders."""

    async def remembered(self, place: str) -> frozenset[str]:
        """Every mark that is kept there."""


class CdsDoor:
    """``tokens`` None: development, every caller is believed; the settings must say so."""

    def __init__(
        self,
        settings: Cds,
        index: CardIndex,
        tokens: Tokens | None,
        fetch: Fetch,
        produce: Produce,
        shown: Shown,
        *,
        check: Check | None = None,
        reader: FhirReader | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._index, self._tokens = settings, index, tokens
        self._fetch, self._produce, self._kept, self._clock = fetch, produce, shown, clock
        self._check, self._reader = check, reader
        self.registry = CollectorRegistry()
        self._shown = Counter("wardstream_cds_cards_shown", "Cards answered", ["service", "type"], registry=self.registry)
        self._feedback = Counter(
            "wardstream_cds_feedback", "What became of cards", ["service", "type", "outcome"], registry=self.registry
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

    async def _cards(self, request: Request, client: Client) -> Response:
        service, body = _service(request), await _body(request)
        context = read_context(service, body)
        patient = patient_id(context)
        record = read_record(body.get("prefetch"), patient)
        if service.orders and self._check is not None and self._reader is not None and self._reader.may_read(body):
            record += read_record(await self._reader.missing(body, patient), patient)
        rows = list(self._rows(patient, read_patient(record)))
        judged = await self._judged(service, context, record)
        if not rows and judged is None:
            raise Bad(412, "prefetch.patient with an identifier is needed")
        oldest = datetime.fromtimestamp(self._clock(), UTC) - timedelta(days=self._settings.days)
        found: dict[str, KeptCard] = {}
        for value in await self._fetch(rows):
            kept = _KEPT.decode(value)
            if service.takes(kept.type) and _time(kept.time) >= oldest:
                found[kept.card.uuid] = kept
        earlier = sorted(found.values(), key=lambda kept: kept.time, reverse=True)
        chosen = list(judged or ())
        said = {(one.type, one.card.summary) for one in chosen}
        chosen += [CheckedCard(type=one.type, card=one.card) for one in earlier if (one.type, one.card.summary) not in said]
        if service.orders:
            chosen = await self._coordinated(service, body, client, chosen)
        chosen = sorted(chosen, key=_order)[:MOST_CARDS]
        for one in chosen:
            self._shown.labels(service.id, one.type).inc()
        if chosen:
            await self._kept.keep([(one.card.uuid, one.type) for one in chosen])
        return _answer({"cards": [one.card for one in chosen]})

    async def _coordinated(
        self, service: Service, body: dict[str, Any], client: Client, cards: list[CheckedCard]
    ) -> list[CheckedCard]:
        """See ``gateway.cds.coordination``."""
        selecting = "selections" in service.needs
        if not coordination.wants(body, coordination.REMEMBER if selecting else coordination.LEAVE_OUT):
            return cards
        name = coordination.place(self._index, client.issuer, body["context"])
        if selecting:
            shown = sorted(cards, key=_order)[:MOST_CARDS]
            await self._kept.remember(name, frozenset().union(*map(coordination.marks, shown)))
            return cards
        known = await self._kept.remembered(name)
        left = [one for one in cards if known.isdisjoint(coordination.marks(one))]
        if len(left) == len(cards):
            return cards
        return [*sorted(left, key=_order)[: MOST_CARDS - 1], coordination.told(name, len(cards) - len(left))]

    async def _judged(
        self, service: Service, context: dict[str, Any], record: list[dict[str, Any]]
    ) -> tuple[CheckedCard, ...] | None:
        """Cards on the draft orders; ``None`` where nothing can be judged: another hook, or neither a record nor a second draft nor an issue
        of the one draft by itself (its dose)."""
        if not service.orders or self._check is None:
            return None
        asked = draft_check(context, record)
        found = await asyncio.to_thread(self._check, asked, datetime.fromtimestamp(self._clock(), UTC))
        return found if found or asked.record or len(asked.drafts) + len(asked.chosen) > 1 else None

    def _rows(self, patient: str, resource: dict[str, Any] | None) -> Iterable[str]:
        """Places where the patient's cards may lie: by every identifier of the Patient, else by the id under the site's authority."""
        identifiers = (resource or {}).get("identifier")
        for one in identifiers if isinstance(identifiers, list) else ():
            value, system = (one.get("value"), one.get("system", "")) if isinstance(one, dict) else (None, "")
            if isinstance(value, str) and value.strip() and isinstance(system, str):
                yield self._index.row(system, value)
        if self._settings.authority is not None:
            yield self._index.row(self._settings.authority, patient)

    async def _take(self, request: Request, client: Client) -> Response:
        service, body = _service(request), await _body(request)
        rows = body.get("feedback")
        if not isinstance(rows, list) or not rows or len(rows) > 100:
            raise Bad(400, "feedback is a list of 1 to 100")
        labels = [await self._label(service, client, row) for row in rows]
        for label in labels:
            await self._produce(_output(label))
            self._feedback.labels(service.id, label.type, label.outcome).inc()
        return _answer({})

    async def _label(self, service: Service, client: Client, row: object) -> CardFeedback:
        if not isinstance(row, dict) or row.get("outcome") not in ("accepted", "overridden"):
            raise Bad(400, "outcome is accepted or overridden")
        try:
            card = str(uuid.UUID(str(row.get("card"))))
        except ValueError:
            raise Bad(400, "card is the uuid of a card") from None
        type_ = await self._kept.type_of(card)
        if type_ is None:
            raise Bad(400, "no such card was shown")
        outcome: Outcome = row["outcome"]
        reason = ""
        if outcome == "overridden":
            given = row.get("overrideReason")
            coded = given.get("reason") if isinstance(given, dict) else None
            code = coded.get("code") if isinstance(coded, dict) else None
            reason = code if code in {one.code for one in OVERRIDES} else "other"  # a comment may name anybody: it is not kept
        return CardFeedback(
            id=derived_id(card, "cds.feedback", ordinal=f"{client.issuer}|{outcome}|{reason}"),
            card=card,
            service=service.id,
            outcome=outcome,
            reason=reason,
            time=datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            issuer=client.issuer,
            type=type_,
        )

    async def _live(self, _request: Request) -> Response:
        return _answer({"status": "alive"})


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
        body = decode(bytes(data))  # digits as they were written: results are judged
    except MalformedMessage:
        raise Bad(400, "not a JSON object") from None
    return body


def _order(one: CheckedCard) -> int:
    return _ORDER[one.card.indicator]


def _output(label: CardFeedback) -> Output:
    headers = Envelope(
        id=label.id, source="/cds", type=topics.BY_NAME[topics.FEEDBACK].event_type, time=label.time, content_type=JSON,
        data_class=DataClass.INTERNAL, origin=label.card,
    ).headers()  # fmt: skip
    return Output(topics.FEEDBACK, label.card.encode(), msgspec.json.encode(label), headers)


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
