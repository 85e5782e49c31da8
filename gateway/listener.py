"""The HTTP listener: uvicorn without its signal handlers and logs, and with a deadline for requests that never come whole."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from streams import logs
from streams.settings import Worker

#: From connecting, or from the last response, to a complete request head.
HEAD_DEADLINE_S = 10.0
KEEP_ALIVE_S = 30
MAX_CONNECTIONS = 512
MAX_HEAD_BYTES = 32_768


class _Protocol(H11Protocol):
    """Ends a connection whose peer sends no request head in time (slow senders)."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_DEADLINE_S, self._late)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._deadline is not None and self.cycle is not None and not self.cycle.response_complete:
            self._deadline.cancel()
            self._deadline = None

    def on_response_complete(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(KEEP_ALIVE_S + HEAD_DEADLINE_S, self._late)
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _late(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the process has one handler, in run_until_stopped


class HttpListener:
    """Serves one application.

    Args:
        patience_s: how long requests in flight may take after ``stop``.
    """

    def __init__(self, app: Starlette, tls: ssl.SSLContext | None, *, patience_s: float) -> None:
        self._server = _Server(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=int(patience_s),
                h11_max_incomplete_event_size=MAX_HEAD_BYTES,
                ssl_context_factory=(lambda _config, _default: tls) if tls is not None else None,
            )
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises OSError when it cannot."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
        # Head and body of an answer are two writes: with Nagle's algorithm the body waits for the delayed acknowledgement of the head, 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound: int = listener.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve([listener]))
        while not self._server.started:
            if self._serving.done():
                await self._serving
            await asyncio.sleep(0.005)
        return bound

    async def stop(self) -> None:
        """Refuse new connections, finish the requests in flight."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving


def run_until_stopped(worker: Worker, serve: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """The life of a serving process: logs as configured, ``serve`` until its event is set by SIGTERM or SIGINT; 0 after a graceful stop.

    Raises what ``serve`` raises.
    """
    logs.configure(worker.log_format, worker.log_level)

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await serve(stop)

    asyncio.run(main())
    return 0
