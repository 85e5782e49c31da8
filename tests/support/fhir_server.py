"""A FHIR server on a loopback port, as far as transactions with conditional create and update, ``ifMatch`` and searches by identifier go, and a
token endpoint beside it.

It is no oracle for FHIR: it stores what the standard says that it stores and answers first whatever the script says.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, quote

import jwt
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

#: Gets how many requests came before; answers in the server's place, or None to let it store.
Script = Callable[[int], Response | None]


def outcome(status: int, code: str, **headers: str) -> JSONResponse:
    issue = {"severity": "error", "code": code, "diagnostics": "Ada Testperson is wrong"}
    return JSONResponse({"resourceType": "OperationOutcome", "issue": [issue]}, status, headers=dict(headers))


class FhirServer:
    """``stored`` by ``Type?identifier=...`` or ``Type/id``; ``requests`` in order of arrival; ``key``: who must sign assertions."""

    def __init__(
        self, script: Script = lambda number: None, *, key: Any = None, algorithm: str = "ES384", may_search: bool = True
    ) -> None:
        self.script, self._key, self._algorithm = script, key, algorithm
        self._may_search = may_search
        self.requests: list[dict[str, Any]] = []
        self.stored: dict[str, dict[str, Any]] = {}
        self.searches: list[str] = []
        self.writes: list[str] = []
        self.assertions: list[dict[str, Any]] = []
        self.tokens: set[str] = set()
        self.base = self.token_url = ""

    async def __aenter__(self) -> FhirServer:
        routes = [
            Route("/fhir", self._transaction, methods=["POST"]),
            Route("/fhir/{kind}/_search", self._search, methods=["POST"]),
            Route("/token", self._give, methods=["POST"]),
        ]
        config = uvicorn.Config(Starlette(routes=routes), host="127.0.0.1", port=0, log_level="critical", lifespan="off")
        self._server = uvicorn.Server(config)
        self._running = asyncio.create_task(self._server.serve())
        while not self._server.started:
            await asyncio.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.base, self.token_url = f"http://127.0.0.1:{port}/fhir", f"http://127.0.0.1:{port}/token"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.should_exit = True
        await self._running

    async def _transaction(self, request: Request) -> Response:
        number = len(self.requests)
        bundle = await request.json()
        self.requests.append(bundle)
        if self._key is not None and request.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return outcome(401, "login")
        said = self.script(number)
        if said is not None:
            return said
        if request.headers["content-type"] != "application/fhir+json" or bundle["type"] != "transaction":
            return outcome(400, "invalid")
        ids = {self._place(name): name for name in self.stored}
        for entry in bundle["entry"]:
            wanted = entry["request"]
            name = ids.get(wanted["url"], wanted["url"])
            if "ifMatch" in wanted and wanted["ifMatch"] != f'W/"{self.writes.count(name)}"':
                return outcome(412, "conflict")
        for entry in bundle["entry"]:
            wanted = entry["request"]
            if wanted["method"] == "POST":
                name = f"{wanted['url']}?{wanted['ifNoneExist']}"
                if name in self.stored:
                    continue
            else:
                name = ids.get(wanted["url"], wanted["url"])
            self.stored[name] = {key: value for key, value in entry["resource"].items() if "?" not in name or key != "id"}
            self.writes.append(name)
        return JSONResponse({"resourceType": "Bundle", "type": "transaction-response"})

    async def _search(self, request: Request) -> Response:
        kind = request.path_params["kind"]
        self.searches.append(kind)
        if self._key is not None and request.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return outcome(401, "login")
        if not self._may_search:
            return outcome(403, "forbidden")
        form = parse_qs((await request.body()).decode())
        names = {f"{kind}?identifier={quote(one, safe=':/.-_~')}" for one in form["identifier"][0].split(",")}
        rows = []
        for name in sorted(names & self.stored.keys()):
            place, version = self._place(name).partition("/")[2], str(self.writes.count(name))
            rows.append({"resource": self.stored[name] | {"id": place, "meta": {"versionId": version}}})
        return JSONResponse({"resourceType": "Bundle", "type": "searchset", "total": len(rows), "entry": rows})

    def _place(self, name: str) -> str:
        """``Type/id`` of what was stored under a condition."""
        kind, _, condition = name.partition("?")
        return f"{kind}/{zlib.crc32(condition.encode())}" if condition else name

    async def _give(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        try:
            claims = jwt.decode(form["client_assertion"], self._key, algorithms=[self._algorithm], audience=self.token_url)
        except jwt.InvalidTokenError:
            return JSONResponse({"error": "invalid_client"}, 401)
        self.assertions.append(claims | {"form": form, "header": jwt.get_unverified_header(form["client_assertion"])})
        token = f"token-{len(self.assertions)}"
        self.tokens.add(token)
        return JSONResponse({"access_token": token, "token_type": "bearer", "expires_in": 300})
