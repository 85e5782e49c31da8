"""The guard before the annotation page: who is signed in, from where a request may come, and what every answer forbids (CSP, Trusted Types).

Whatever changes something must come from the page itself: its origin, its session and its token.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import structlog
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.body import Bodies, BodyTimeout
from ops.review.accounts import Accounts
from ops.review.sessions import Session, Sessions
from schemas.errors import MalformedMessage, Poison, Reason, WardstreamError
from streams.logs import describe

MAX_BODY_BYTES = 1_048_576
CSRF = "x-csrf-token"
_COOKIE = "wardstream_review"
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), clipboard-read=()",
    "cache-control": "no-store",
}

A = TypeVar("A")
Handler = Callable[[Request, Session], Awaitable[Response]]

_log = structlog.get_logger("review")


class Bad(Exception):
    """The request cannot be served; ``why`` is a word of ours."""

    def __init__(self, status: int, why: str) -> None:
        self.status, self.why = status, why


class _Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    token: str


class Door:
    """Signing in, and the checks of every other request.

    Args:
        accounts: who may review now; read again at each request, so that a name taken out of the file is out at once.
        ready: whether anything can be served.
        about: what the page is told of a session.
    """

    def __init__(
        self,
        accounts: Callable[[], Accounts],
        sessions: Sessions,
        ready: Callable[[], bool],
        about: Callable[[Session], dict[str, Any]],
    ) -> None:
        self._accounts, self._sessions, self._ready, self._about = accounts, sessions, ready, about
        self._bodies = Bodies(MAX_BODY_BYTES)
        #: As browsers call the page; the server sets it when it knows its port.
        self.origins: frozenset[str] = frozenset()

    def signed_in(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """The handler behind all checks, with errors as JSON: ``{"error": a word of ours}``."""

        async def work(request: Request) -> Response:
            session = self._sessions.find(request.cookies.get(self._cookie, ""))
            if session is None or not self._accounts().has(session.account):
                raise Bad(401, "sign in")
            if request.method == "POST" and not session.accepts(request.headers.get(CSRF, "")):
                raise Bad(403, "token")
            if not self._ready():
                raise Bad(503, "not ready")
            return await handler(request, session)

        async def serve(request: Request) -> Response:
            return await self._guarded(request, work)

        return serve

    async def _guarded(self, request: Request, work: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            if request.headers.get("host") not in {origin.partition("://")[2] for origin in self.origins}:
                raise Bad(421, "host")  # a name that leads here by another's DNS
            if request.method == "POST" and request.headers.get("origin") not in self.origins:
                raise Bad(403, "origin")
            return await work(request)
        except Bad as error:
            return answer({"error": error.why}, error.status)
        except BodyTimeout:
            return answer({"error": "timeout"}, 408)
        except Poison as error:
            return answer({"error": error.reason.value}, 413 if error.reason is Reason.TOO_LARGE else 400)
        except WardstreamError as error:
            _log.warning("not_stored", **describe(error))
            return answer({"error": error.reason.value}, 503)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:
            _log.error("request_failed", **describe(error))
            return answer({"error": Reason.UNEXPECTED.value}, 500)

    async def login(self, request: Request) -> Response:
        """``{"token"}`` in, a cookie and what the page is told out."""

        async def work(request: Request) -> Response:
            account = self._accounts().find((await self.body(request, _Login)).token.strip())
            if account is None:
                _log.warning("sign_in_refused")
                raise Bad(401, "token")
            name, session = self._sessions.open(account)
            response = answer(self._about(session))
            response.set_cookie(self._cookie, name, path="/", httponly=True, samesite="strict", secure=self._secure)
            return response

        return await self._guarded(request, work)

    async def logout(self, request: Request, _session: Session) -> Response:
        """The session ends."""
        self._sessions.close(request.cookies.get(self._cookie, ""))
        response = answer({})
        response.delete_cookie(self._cookie, path="/")
        return response

    @property
    def _secure(self) -> bool:
        return all(origin.startswith("https:") for origin in self.origins)

    @property
    def _cookie(self) -> str:
        """With TLS under the name that no other host and no plain connection can set."""
        return f"__Host-{_COOKIE}" if self._secure else _COOKIE

    async def body(self, request: Request, kind: type[A]) -> A:
        """The JSON body. Raises Bad, MalformedMessage, BodyTimeout."""
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Bad(415, "content-type")
        async with await self._bodies.whole(request) as payload:
            try:
                return msgspec.json.decode(payload, type=kind)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                raise MalformedMessage(Reason.SCHEMA_MISMATCH, path="body") from None


class SecurityHeaders:
    """ASGI middleware: the security headers on whatever is answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, with_headers)


async def http_error(_request: Request, error: Exception) -> Response:
    """No such path, or not with this method."""
    assert isinstance(error, HTTPException)
    return answer({"error": "no such path" if error.status_code == 404 else "not supported"}, error.status_code)


def answer(body: object, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(body), status, media_type="application/json")
