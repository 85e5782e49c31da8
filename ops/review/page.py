"""The annotation page over HTTP: three files, and JSON for the script. Every answer forbids what the page does not need (CSP, Trusted Types);
whatever changes something must come from the page itself: its origin, its session and its token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.body import Bodies, BodyTimeout
from ops.audited import Act
from ops.review.accounts import Account, Accounts
from ops.review.agreement import agreement
from ops.review.queue import Queue
from ops.review.sessions import Session, Sessions
from ops.review.verdicts import ASSERTED, Given, Guideline, act_of, label_of, outputs, prefill
from schemas.errors import MalformedMessage, Poison, Reason, WardstreamError
from schemas.findings import MENTION_TYPES
from schemas.labels import ReviewedLabel, ReviewedSpan
from schemas.samples import Sample
from streams.logs import describe
from streams.record import Output

MAX_BODY_BYTES = 1_048_576
CSRF = "x-csrf-token"
_COOKIE = "wardstream_review"
_PURPOSE = "HOPERAT"
#: Own labels that can be opened again from the page.
_RECENT = 20
_STATIC = Path(__file__).with_name("static")
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/review.js": ("review.js", "text/javascript; charset=utf-8"),
    "/review.css": ("review.css", "text/css; charset=utf-8"),
}
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


class _Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sample: str


class ReviewPage:
    """Handlers of all routes.

    Args:
        accounts: who may review now; read again at each request, so that a name taken out of the file is out at once.
        produce: stores one record, see ``ops.audited.Log``.
        ready: whether the queue has the whole log.
        clock: aware instants.
    """

    def __init__(
        self,
        queue: Queue,
        accounts: Callable[[], Accounts],
        guideline: Guideline,
        produce: Callable[[Output], Awaitable[None]],
        sessions: Sessions,
        ready: Callable[[], bool],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._queue, self._accounts, self._guideline, self._produce = queue, accounts, guideline, produce
        self._sessions, self._ready, self._clock = sessions, ready, clock
        self._bodies = Bodies(MAX_BODY_BYTES)
        self._one_at_a_time = asyncio.Lock()
        #: As browsers call the page; the server sets it when it knows its port.
        self.origins: frozenset[str] = frozenset()

    def app(self) -> Starlette:
        app = Starlette(
            routes=[
                *(Route(path, self._file, methods=["GET"]) for path in _FILES),
                Route("/livez", self._live, methods=["GET"]),
                Route("/readyz", self._readiness, methods=["GET"]),
                Route("/api/login", self._login, methods=["POST"]),
                Route("/api/session", self._signed_in(self._session), methods=["GET"]),
                Route("/api/guideline", self._signed_in(self._guide), methods=["GET"]),
                Route("/api/agreement", self._signed_in(self._agreement), methods=["GET"]),
                Route("/api/recent", self._signed_in(self._recent), methods=["GET"]),
                *(
                    Route(f"/api/{name}", self._signed_in(handler), methods=["POST"])
                    for name, handler in {
                        "logout": self._logout,
                        "next": self._next,
                        "skip": self._skip,
                        "open": self._open,
                        "dispute": self._dispute,
                        "labels": self._label,
                    }.items()
                ),
            ],
            middleware=[Middleware(_Headers)],
            exception_handlers={HTTPException: _http_error},
        )
        app.router.redirect_slashes = False
        return app

    # Who is there

    def _signed_in(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
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
            return _answer({"error": error.why}, error.status)
        except BodyTimeout:
            return _answer({"error": "timeout"}, 408)
        except Poison as error:
            return _answer({"error": error.reason.value}, 413 if error.reason is Reason.TOO_LARGE else 400)
        except WardstreamError as error:
            _log.warning("not_stored", **describe(error))
            return _answer({"error": error.reason.value}, 503)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:
            _log.error("request_failed", **describe(error))
            return _answer({"error": Reason.UNEXPECTED.value}, 500)

    async def _login(self, request: Request) -> Response:
        async def work(request: Request) -> Response:
            account = self._accounts().find((await self._body(request, _Login)).token.strip())
            if account is None:
                _log.warning("sign_in_refused")
                raise Bad(401, "token")
            name, session = self._sessions.open(account)
            response = _answer(self._about(session))
            response.set_cookie(self._cookie, name, path="/", httponly=True, samesite="strict", secure=self._secure)
            return response

        return await self._guarded(request, work)

    async def _logout(self, request: Request, _session: Session) -> Response:
        self._sessions.close(request.cookies.get(self._cookie, ""))
        response = _answer({})
        response.delete_cookie(self._cookie, path="/")
        return response

    @property
    def _secure(self) -> bool:
        return all(origin.startswith("https:") for origin in self.origins)

    @property
    def _cookie(self) -> str:
        """With TLS under the name that no other host and no plain connection can set."""
        return f"__Host-{_COOKIE}" if self._secure else _COOKIE

    async def _session(self, _request: Request, session: Session) -> Response:
        return _answer(self._about(session))

    def _about(self, session: Session) -> dict[str, Any]:
        account = session.account
        return {
            "name": account.name,
            "role": account.role,
            "pseudonym": account.pseudonym,
            "csrf": session.csrf,
            "types": MENTION_TYPES,
            "asserted": sorted(ASSERTED),
            "guideline": self._guideline.version,
        }

    # Samples

    async def _next(self, _request: Request, session: Session) -> Response:
        account = session.account
        sample = self._queue.next(account, self._today())
        if sample is not None:
            return _answer({"sample": self._shown(sample)} | self._progress(account))
        counted = self._queue.counted(account, self._today())
        return _answer({"sample": None, "why": "cap" if counted.today >= counted.cap else "empty"} | self._progress(account))

    async def _skip(self, request: Request, session: Session) -> Response:
        self._queue.skip(session.account, (await self._body(request, _Named)).sample)
        return await self._next(request, session)

    async def _open(self, request: Request, session: Session) -> Response:
        """An own label again, to correct it."""
        name = (await self._body(request, _Named)).sample
        label, sample = self._queue.own(session.account, name), self._queue.find(name)
        if label is None or sample is None:
            raise Bad(409, "withdrawn")
        return _answer({"sample": self._shown(sample, label)} | self._progress(session.account))

    async def _recent(self, _request: Request, session: Session) -> Response:
        mine = [
            label for label in self._queue.labels_of(session.account.pseudonym) if label.reviewer == session.account.pseudonym
        ]
        rows = [
            {"sample": label.sample, "decided": label.decided, "spans": len(label.spans), "begins": label.note.text[:60]}
            for label in reversed(mine[-_RECENT:])
            if self._queue.find(label.sample) is not None
        ]
        return _answer({"labels": rows})

    async def _label(self, request: Request, session: Session) -> Response:
        given, account = await self._body(request, Given), session.account
        async with self._one_at_a_time:  # so that the cap cannot be passed by two at once
            sample = self._queue.find(given.sample)
            if sample is None:
                raise Bad(409, "withdrawn")
            if given.adjudicated:
                self._require_adjudicator(account, sample.id)
            elif not self._queue.holds(account, sample.id):
                raise Bad(409, "not yours")
            now = self._clock().astimezone(UTC)
            label = label_of(
                sample,
                given.spans,
                account.pseudonym,
                guideline=self._guideline.version,
                decided=now.isoformat(timespec="milliseconds"),
                flags=given.flags,
                adjudicated=given.adjudicated,
            )
            counted = self._queue.counted(account, self._today())
            if counted.today >= counted.cap and not self._queue.decided_on(label.id, self._today()):
                raise Bad(429, "cap")
            act = Act(act_of(account, label.decided), account.name, _PURPOSE, now)
            for output in outputs(label, act):
                await self._produce(output)
            self._queue.keep(label)
        return _answer({"label": label.id} | self._progress(account))

    def _shown(self, sample: Sample, label: ReviewedLabel | None = None) -> dict[str, Any]:
        """What the page needs of a sample: nothing that leads to its patient, not even the token."""
        scores = {(m.start, m.end): m.score for m in sample.mentions}
        spans = prefill(sample) if label is None else label.spans
        return {
            "id": sample.id,
            "text": sample.note.text,
            "reason": sample.reason,
            "why": sample.why,
            "versions": sample.versions,
            "selection": sample.selection,
            "spans": [_span(span) | {"score": scores.get((span.start, span.end))} for span in spans],
            "flags": [{"id": name, "says": sample.summaries.get(name, "")} for name in sample.flags],
            "verdicts": {} if label is None else label.flags,
            "again": label is not None,
        }

    def _progress(self, account: Account) -> dict[str, Any]:
        standing = self._queue.trusted().standings.get(account.pseudonym)
        counted = self._queue.counted(account, self._today())
        disputes = len(self._disputed(account)) if account.role == "adjudicator" else 0
        return {"progress": counted, "put_aside": bool(standing and standing.reason), "disputes": disputes}

    # Agreement

    async def _agreement(self, _request: Request, session: Session) -> Response:
        trusted = self._queue.trusted()
        labels = self._queue.labels()
        pairs = await asyncio.to_thread(agreement, labels)
        body: dict[str, Any] = {"pairs": pairs, "you": session.account.pseudonym}
        if session.account.role == "adjudicator":
            body |= {"standings": list(trusted.standings.values()), "disputed": self._disputed(session.account)}
        return _answer(body)

    def _disputed(self, account: Account) -> list[dict[str, Any]]:
        rows = []
        for name in self._queue.disputed():
            verdicts = self._queue.verdicts(name)
            if self._queue.find(name) is not None and all(one.reviewer != account.pseudonym for one in verdicts):
                rows.append({"sample": name, "reviewers": [one.reviewer for one in verdicts]})
        return rows

    async def _dispute(self, request: Request, session: Session) -> Response:
        """The sample with the spans of all its reviewers: which of them are not everybody's is what is to be settled."""
        name = (await self._body(request, _Named)).sample
        sample = self._queue.find(name)
        if sample is None:
            raise Bad(409, "withdrawn")
        self._require_adjudicator(session.account, name)
        verdicts = self._queue.verdicts(name)
        by: dict[ReviewedSpan, list[str]] = {}
        for label in verdicts:
            for span in label.spans:
                by.setdefault(span, []).append(label.reviewer)
        shown = self._shown(sample)
        shown["spans"] = [
            _span(span) | {"by": [] if len(who) == len(verdicts) else who}
            for span, who in sorted(by.items(), key=lambda row: (row[0].start, row[0].end))
        ]
        flags = {flag for label in verdicts for flag in label.flags}
        shown["verdicts"] = {
            flag: given.pop() for flag in flags if len(given := {label.flags.get(flag, "") for label in verdicts}) == 1
        }
        return _answer({"sample": shown | {"adjudicated": True}} | self._progress(session.account))

    def _require_adjudicator(self, account: Account, name: str) -> None:
        standing = self._queue.trusted().standings.get(account.pseudonym)
        if (
            account.role != "adjudicator"
            or (standing and standing.reason)
            or any(one.reviewer == account.pseudonym for one in self._queue.verdicts(name))
        ):
            raise Bad(403, "role")
        if len(self._queue.verdicts(name)) < 2:
            raise Bad(409, "not disputed")

    # The rest

    async def _guide(self, _request: Request, _session: Session) -> Response:
        return _answer({"text": self._guideline.text, "version": self._guideline.version})

    async def _file(self, request: Request) -> Response:
        name, kind = _FILES[request.url.path]
        return Response((_STATIC / name).read_bytes(), headers={"content-type": kind})

    async def _live(self, _request: Request) -> Response:
        return _answer({"status": "alive"})

    async def _readiness(self, _request: Request) -> Response:
        return _answer({"status": "ready"}) if self._ready() else _answer({"status": "unavailable"}, 503)

    def _today(self) -> str:
        return self._clock().astimezone(UTC).date().isoformat()

    async def _body(self, request: Request, kind: type[A]) -> A:
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Bad(415, "content-type")
        async with await self._bodies.whole(request) as payload:
            try:
                return msgspec.json.decode(payload, type=kind)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                raise MalformedMessage(Reason.SCHEMA_MISMATCH, path="body") from None


class _Headers:
    """ASGI middleware: the security headers on whatever is answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, with_headers)


def _span(span: ReviewedSpan) -> dict[str, Any]:
    return {"start": span.start, "end": span.end, "type": span.type, "assertion": span.assertion}


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _answer({"error": "no such path" if error.status_code == 404 else "not supported"}, error.status_code)


def _answer(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
