"""The annotation page over HTTP: three files, and JSON for the script. Its guard is ``ops.review.door``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ops.audited import Act
from ops.review.accounts import Account, Accounts
from ops.review.agreement import agreement
from ops.review.door import Bad, Door, SecurityHeaders, answer, http_error
from ops.review.queue import Queue
from ops.review.sessions import Session, Sessions
from ops.review.verdicts import ASSERTED, Given, Guideline, act_of, label_of, outputs, prefill
from schemas.findings import MENTION_TYPES
from schemas.labels import ReviewedLabel, ReviewedSpan
from schemas.samples import Sample
from streams.record import Output

_PURPOSE = "HOPERAT"
#: Own labels that can be opened again from the page.
_RECENT = 20
_STATIC = Path(__file__).with_name("static")
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/review.js": ("review.js", "text/javascript; charset=utf-8"),
    "/review.css": ("review.css", "text/css; charset=utf-8"),
}


class _Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sample: str


class ReviewPage:
    """Handlers of all routes.

    Args:
        accounts: see ``Door``.
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
        self._queue, self._guideline, self._produce = queue, guideline, produce
        self._ready, self._clock = ready, clock
        self._one_at_a_time = asyncio.Lock()
        self.door = Door(accounts, sessions, ready, self._about)

    def app(self) -> Starlette:
        app = Starlette(
            routes=[
                *(Route(path, self._file, methods=["GET"]) for path in _FILES),
                Route("/livez", self._live, methods=["GET"]),
                Route("/readyz", self._readiness, methods=["GET"]),
                Route("/api/login", self.door.login, methods=["POST"]),
                Route("/api/session", self.door.signed_in(self._session), methods=["GET"]),
                Route("/api/guideline", self.door.signed_in(self._guide), methods=["GET"]),
                Route("/api/agreement", self.door.signed_in(self._agreement), methods=["GET"]),
                Route("/api/recent", self.door.signed_in(self._recent), methods=["GET"]),
                *(
                    Route(f"/api/{name}", self.door.signed_in(handler), methods=["POST"])
                    for name, handler in {
                        "logout": self.door.logout,
                        "next": self._next,
                        "skip": self._skip,
                        "open": self._open,
                        "dispute": self._dispute,
                        "labels": self._label,
                    }.items()
                ),
            ],
            middleware=[Middleware(SecurityHeaders)],
            exception_handlers={HTTPException: http_error},
        )
        app.router.redirect_slashes = False
        return app

    async def _session(self, _request: Request, session: Session) -> Response:
        return answer(self._about(session))

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
            return answer({"sample": self._shown(sample)} | self._progress(account))
        counted = self._queue.counted(account, self._today())
        return answer({"sample": None, "why": "cap" if counted.today >= counted.cap else "empty"} | self._progress(account))

    async def _skip(self, request: Request, session: Session) -> Response:
        self._queue.skip(session.account, (await self.door.body(request, _Named)).sample)
        return await self._next(request, session)

    async def _open(self, request: Request, session: Session) -> Response:
        """An own label again, to correct it."""
        name = (await self.door.body(request, _Named)).sample
        label, sample = self._queue.own(session.account, name), self._queue.find(name)
        if label is None or sample is None:
            raise Bad(409, "withdrawn")
        return answer({"sample": self._shown(sample, label)} | self._progress(session.account))

    async def _recent(self, _request: Request, session: Session) -> Response:
        mine = [
            label for label in self._queue.labels_of(session.account.pseudonym) if label.reviewer == session.account.pseudonym
        ]
        rows = [
            {"sample": label.sample, "decided": label.decided, "spans": len(label.spans), "begins": label.note.text[:60]}
            for label in reversed(mine[-_RECENT:])
            if self._queue.find(label.sample) is not None
        ]
        return answer({"labels": rows})

    async def _label(self, request: Request, session: Session) -> Response:
        given, account = await self.door.body(request, Given), session.account
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
        return answer({"label": label.id} | self._progress(account))

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
        return answer(body)

    def _disputed(self, account: Account) -> list[dict[str, Any]]:
        rows = []
        for name in self._queue.disputed():
            verdicts = self._queue.verdicts(name)
            if self._queue.find(name) is not None and all(one.reviewer != account.pseudonym for one in verdicts):
                rows.append({"sample": name, "reviewers": [one.reviewer for one in verdicts]})
        return rows

    async def _dispute(self, request: Request, session: Session) -> Response:
        """The sample with the spans of all its reviewers: which of them are not everybody's is what is to be settled."""
        name = (await self.door.body(request, _Named)).sample
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
        return answer({"sample": shown | {"adjudicated": True}} | self._progress(session.account))

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
        return answer({"text": self._guideline.text, "version": self._guideline.version})

    async def _file(self, request: Request) -> Response:
        name, kind = _FILES[request.url.path]
        return Response((_STATIC / name).read_bytes(), headers={"content-type": kind})

    async def _live(self, _request: Request) -> Response:
        return answer({"status": "alive"})

    async def _readiness(self, _request: Request) -> Response:
        return answer({"status": "ready"}) if self._ready() else answer({"status": "unavailable"}, 503)

    def _today(self) -> str:
        return self._clock().astimezone(UTC).date().isoformat()


def _span(span: ReviewedSpan) -> dict[str, Any]:
    return {"start": span.start, "end": span.end, "type": span.type, "assertion": span.assertion}
