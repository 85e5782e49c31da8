"""Annotation and explanation over HTTP: the steps of ``wardstream annotate`` and ``wardstream explain``, one message a request.

Each request stands alone: its vault and its patient context live as long as it does. Nothing of what is sent or answered is stored or logged.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from agents.offline import Annotated, Offline
from gateway.access import AccessControl, Tokens
from gateway.body import Bodies, BodyTimeout, content_type_of
from gateway.intake import Busy
from models.generator import Generator
from models.tagger import Tagger
from ops.annotate import Item, check, read, render, told
from ops.console.contract import (
    BUSY,
    METHOD,
    NOT_FOUND,
    STATUS,
    TIMEOUT,
    UNAUTHORIZED,
    Alive,
    EntityAnswer,
    EntityQuestion,
    Error,
    FlagAnswer,
    FlagQuestion,
    Problem,
)
from ops.console.openapi import document
from ops.explain import told_entity, told_flags
from schemas.envelope import FHIR_JSON, HL7_V2
from schemas.errors import MalformedMessage, Poison, Reason, SchemaMismatch, UnsupportedContent, WardstreamError
from schemas.findings import Mention
from streams.logs import describe
from streams.metrics import SECONDS
from streams.settings import Api

PUBLIC = frozenset({"/livez", "/metrics", "/openapi.json"})
TEXT = "text/plain"
JSON = "application/json"
T = TypeVar("T", bound=Item)
_log = structlog.get_logger("api")


class _Absent(Exception):
    """There is no entity at that place."""


class Annotator:
    """The handlers. ``offline``, ``tagger`` and ``writer`` are shared by all requests; close none of them while it serves."""

    def __init__(self, api: Api, offline: Offline, tagger: Tagger, writer: Generator) -> None:
        self._offline, self._tagger, self._writer = offline, tagger, writer
        self._bodies = Bodies(api.max_body_bytes)
        self._pool = ThreadPoolExecutor(api.concurrency, "annotator")
        self._most = api.concurrency + api.waiting
        self._held = 0
        self._openapi = msgspec.json.encode(document())
        self.registry = at = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=at)
        self._requests = Counter("wardstream_api_requests", "Requests by path and outcome", ["path", "outcome"], registry=at)
        self._seconds = Histogram("wardstream_api_seconds", "Time of a request", ["path"], buckets=SECONDS, registry=at)
        self._in_flight = Gauge("wardstream_api_in_flight", "Requests that are read or wait to be", registry=at)

    def app(self, tokens: Tokens | None) -> Starlette:
        """The ASGI application; ``tokens`` ``None`` only on loopback."""
        app = Starlette(
            routes=[
                Route("/livez", self._live, methods=["GET"]),
                Route("/metrics", self._metrics, methods=["GET"]),
                Route("/openapi.json", self._document, methods=["GET"]),
                self._route("/v1/annotate", self._annotate),
                self._route("/v1/explain/entity", self._entity),
                self._route("/v1/explain/flag", self._flag),
            ],
            middleware=[Middleware(AccessControl, tokens=tokens, public=PUBLIC, refusal=_unauthorized)],
            exception_handlers={HTTPException: _http_error},
        )
        app.router.redirect_slashes = False
        return app

    def close(self) -> None:
        """End the threads once the requests in flight are done."""
        self._pool.shutdown()

    def _route(self, path: str, answer: Callable[[str, bytes], dict[str, Any] | msgspec.Struct]) -> Route:
        async def handle(request: Request) -> Response:
            begun = time.monotonic()
            response, outcome = await self._served(request, answer)
            self._requests.labels(path, outcome).inc()
            self._seconds.labels(path).observe(time.monotonic() - begun)
            return response

        return Route(path, handle, methods=["POST"])

    async def _served(
        self, request: Request, answer: Callable[[str, bytes], dict[str, Any] | msgspec.Struct]
    ) -> tuple[Response, str]:
        try:
            kind = content_type_of(request)
            async with await self._bodies.whole(request) as body:
                return _answer(await self._in_thread(lambda: msgspec.json.encode(answer(kind, body)))), "answered"
        except BodyTimeout:
            return _error(408, TIMEOUT, "the body did not come in time", {"connection": "close"}), TIMEOUT
        except Busy:
            return _error(429, BUSY, "too many requests at a time", {"retry-after": "1"}), BUSY
        except _Absent:
            return _error(404, NOT_FOUND, "no entity at that place"), NOT_FOUND
        except ClientDisconnect:
            return Response(status_code=400), "disconnected"
        except Poison as error:
            return _error(STATUS.get(error.reason, 422), error.reason.value, told(error)), error.reason.value
        except WardstreamError as error:
            _log.error("request_failed", **describe(error))
            return _error(500, error.reason.value, ""), error.reason.value
        except Exception as error:
            _log.error("request_failed", **describe(error))
            return _error(500, Reason.UNEXPECTED.value, ""), Reason.UNEXPECTED.value

    async def _in_thread(self, work: Callable[[], bytes]) -> bytes:
        """Raises Busy where as many requests as may be are read or wait already."""
        if self._held >= self._most:
            raise Busy(detail="requests")
        self._held += 1
        self._in_flight.set(self._held)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._held -= 1
            self._in_flight.set(self._held)

    def _annotate(self, kind: str, body: bytes) -> dict[str, Any]:
        if kind == JSON:
            item = _decode(body, Item)
        elif kind in (TEXT, HL7_V2, FHIR_JSON):
            item = _bare(kind, body)
        else:
            raise UnsupportedContent(path="content-type")
        named = {} if item.id is None else {"id": item.id}
        return {**named, **render(self._read(item))}

    def _entity(self, kind: str, body: bytes) -> EntityAnswer:
        question = _decode(_json_only(kind, body), EntityQuestion)
        findings = read(question, self._offline.apart()).findings
        mention = next((m for m in findings.mentions if m.note == question.note and _covers(m, question.start)), None)
        if mention is None:
            raise _Absent
        return EntityAnswer(entity=told_entity(findings, mention, self._tagger), model=self._tagger.version)

    def _flag(self, kind: str, body: bytes) -> FlagAnswer:
        question = _decode(_json_only(kind, body), FlagQuestion)
        annotated = self._read(question)
        writer = self._writer if question.in_words else None
        return FlagAnswer(
            flags=told_flags(annotated, question.flag, writer),
            outcomes=annotated.decision.evaluated,
            writer="" if writer is None else writer.version,
        )

    def _read(self, item: Item) -> Annotated:
        offline = self._offline.apart()
        return offline.decide(read(item, offline))

    async def _live(self, _: Request) -> Response:
        return _answer(msgspec.json.encode(Alive()))

    async def _metrics(self, _: Request) -> Response:
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

    async def _document(self, _: Request) -> Response:
        return _answer(self._openapi)


def _covers(mention: Mention, at: int) -> bool:
    place = mention.original or mention
    return place.start <= at < place.end


def _decode(body: bytes, form: type[T]) -> T:
    """Raises MalformedMessage for what is no JSON, SchemaMismatch for a wrong form."""
    try:
        item = msgspec.json.decode(body, type=form)
    except msgspec.ValidationError:
        raise SchemaMismatch(detail="not of the documented form") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedMessage(Reason.MALFORMED_JSON) from None
    check(item)
    return item


def _bare(kind: str, body: bytes) -> Item:
    """A text or message that is the whole body."""
    try:
        content = body.decode()
    except UnicodeDecodeError:
        raise MalformedMessage(Reason.UNDECODABLE_CHARSET) from None
    if kind == TEXT:
        return Item(text=content)
    return Item(message=content, format="hl7v2" if kind == HL7_V2 else "fhir")


def _json_only(kind: str, body: bytes) -> bytes:
    if kind != JSON:
        raise UnsupportedContent(path="content-type")
    return body


def _answer(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body, status, {"cache-control": "no-store", **(headers or {})}, media_type=JSON)


def _error(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    return _answer(msgspec.json.encode(Error(error=Problem(code=code, detail=detail))), status, headers)


def _unauthorized(headers: Mapping[str, str]) -> Response:
    return _error(401, UNAUTHORIZED, "a valid bearer token is needed", headers)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return _error(405, METHOD, "the method is not supported here", error.headers)
    return _error(404, NOT_FOUND, "no such path")
