"""The FHIR door over HTTP, probes and metrics: routes and their answers. 2xx only after Kafka's delivery report.

Every answer under ``/fhir`` is FHIR JSON, errors are OperationOutcomes without a value of the input. TLS and the listener are
``gateway.server``'s.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.access import AccessControl, Tokens
from gateway.answers import RETRY_AFTER, FhirResponse, problem, refused, stored
from gateway.body import Bodies, BodyTimeout, content_type_of
from gateway.bulk import take_lines
from gateway.capability import statement
from gateway.fhir import FhirDoor
from gateway.intake import Busy
from gateway.shares import Shares
from schemas.envelope import FHIR_JSON
from schemas.errors import Reason, UnsupportedContent, WardstreamError
from streams.logs import describe

NDJSON = frozenset({"application/fhir+ndjson", "application/ndjson", "application/x-ndjson"})
JSON_TYPES = frozenset({FHIR_JSON, "application/json"})
#: https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}")

#: Dependency -> whether it answers.
Readiness = Callable[[], dict[str, bool]]

_log = structlog.get_logger("gateway")


class HttpDoor:
    """Handlers of all routes. ``needed``: the dependencies without which nothing can be stored; others only degrade."""

    def __init__(
        self,
        fhir: FhirDoor,
        *,
        max_body_bytes: int,
        registry: CollectorRegistry,
        readiness: Readiness,
        max_in_flight_per_sender: int = 500,
        needed: frozenset[str] = frozenset({"broker"}),
    ) -> None:
        self._needed = needed
        self._fhir = fhir
        self._bodies = Bodies(max_body_bytes)
        self._shares = Shares(max_in_flight_per_sender)
        self._registry = registry
        self._readiness = readiness

    def app(self, tokens: Tokens | None) -> Starlette:
        """The ASGI application; ``tokens`` ``None`` only behind a listener that demands client certificates."""
        app = Starlette(
            routes=[
                Route("/livez", self.live, methods=["GET"]),
                Route("/readyz", self.ready, methods=["GET"]),
                Route("/metrics", self.metrics, methods=["GET"]),
                Route("/fhir/metadata", self.capability, methods=["GET"]),
                Route("/fhir", self.post, methods=["POST"]),
                Route("/fhir/{type_name}", self.post, methods=["POST"]),
            ],
            middleware=[Middleware(AccessControl, tokens=tokens)],
            exception_handlers={HTTPException: self.http_error},
        )
        app.router.redirect_slashes = False
        return app

    async def post(self, request: Request) -> Response:
        """Take a resource, a Bundle or NDJSON."""
        sender = _sender(request)
        if not self._shares.take(sender):
            return refused(Busy(detail="the sender's share"))
        try:
            return await self._post(request)
        except BodyTimeout:
            return problem(408, "timeout", "the body did not come in time", {"connection": "close"})
        except WardstreamError as error:
            return refused(error)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:
            _log.error("request_failed", **describe(error))
            return problem(500, "exception", Reason.UNEXPECTED.value)
        finally:
            self._shares.give(sender)

    async def _post(self, request: Request) -> Response:
        type_name = request.path_params.get("type_name")
        if type_name is not None and not _TYPE.fullmatch(type_name):
            return problem(404, "not-found", "no such path")
        content_type = content_type_of(request)
        trace = request.headers.get("traceparent", "")
        traceparent = trace if _TRACEPARENT.fullmatch(trace) else None
        if content_type in NDJSON:
            if type_name is not None:
                raise UnsupportedContent(path="content-type")
            return await take_lines(self._fhir, self._bodies.lines(request), traceparent)
        if content_type not in JSON_TYPES:
            raise UnsupportedContent(path="content-type")
        async with await self._bodies.whole(request) as payload:
            return stored(await self._fhir.accept(payload, type_name=type_name, traceparent=traceparent))

    async def live(self, _: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def ready(self, _: Request) -> Response:
        """503 while nothing can be stored; a ledger that is away only degrades (resends are produced again, same id)."""
        parts = self._readiness()
        ready = all(parts.get(name, False) for name in self._needed)
        status = "ready" if all(parts.values()) else "degraded" if ready else "unavailable"
        body: dict[str, Any] = {"status": status, **{name: "ok" if ok else "down" for name, ok in parts.items()}}
        return JSONResponse(body, 200 if ready else 503, RETRY_AFTER if not ready else None)

    async def metrics(self, _: Request) -> Response:
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

    async def capability(self, _: Request) -> Response:
        return FhirResponse(statement())

    async def http_error(self, _: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        texts = {404: ("not-found", "no such path"), 405: ("not-supported", "the method is not supported here")}
        code, text = texts.get(error.status_code, ("processing", "the request cannot be served"))
        return problem(error.status_code, code, text, error.headers)


def _sender(request: Request) -> str:
    """By its token, as a digest, else its address."""
    token = request.headers.get("authorization")
    if token is not None:
        return hashlib.sha256(token.encode()).hexdigest()
    return request.client.host if request.client else ""
