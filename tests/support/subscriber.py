"""A subscriber's endpoint on a loopback port: keeps what it is sent and answers what the script says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

#: Gets how many requests came before; the status of the answer, 0: one that does not end.
Script = Callable[[int], int]


class Subscriber:
    """``received``: Bundles in order of arrival, refused ones too; ``headers`` beside them."""

    def __init__(self, script: Script = lambda number: 200, *, port: int = 0) -> None:
        self._script, self._port = script, port
        self.received: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.endpoint = ""

    async def __aenter__(self) -> Subscriber:
        app = Starlette(routes=[Route("/hook", self._take, methods=["POST"])])
        self._server = uvicorn.Server(
            uvicorn.Config(app, host="127.0.0.1", port=self._port, log_level="critical", lifespan="off")
        )
        self._running = asyncio.create_task(self._server.serve())
        while not self._server.started:
            await asyncio.sleep(0.01)
        self.endpoint = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}/hook"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.should_exit = True
        await self._running

    async def _take(self, request: Request) -> Response:
        number = len(self.received)
        self.received.append(await request.json())
        self.headers.append(dict(request.headers))
        answer = self._script(number)
        if answer == 0:
            return StreamingResponse(_drip(), headers={"content-length": "1000"})
        return Response(status_code=answer)


async def _drip() -> AsyncIterator[bytes]:
    for _ in range(1000):
        yield b"."
        await asyncio.sleep(0.05)
