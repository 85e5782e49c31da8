"""MLLP over TCP and TLS: connections, deadlines, order. What a message means is ``gateway.hl7``.

A hostile or broken peer costs at most its own connection: frames and connections are capped, a frame must end by its deadline,
answers go out in the order of the frames, reading pauses while a peer has too many answers outstanding or does not read them. All connections
of one sender together have no more outstanding than its share.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.acknowledge import UNAVAILABLE, Outcome
from gateway.shares import Shares
from schemas.errors import Reason
from schemas.mllp import FrameDecoder, encode_frame

#: Frames of one connection that are worked on at the same time; more wait unread in the socket.
PIPELINE = 64
#: Connections above the cap that are still told why (an AE to their first message) before they are closed.
REFUSALS = 64
REFUSAL_DEADLINE_S = 5.0
TLS_HANDSHAKE_TIMEOUT_S = 10.0
#: After a refusal the peer's remaining bytes are read and thrown away this long: closing on unread bytes makes TCP reset the
#: connection, and the refusal would be lost on its way.
LINGER_S = 2.0

TOO_LARGE = Outcome(Reason.TOO_LARGE)
CUT_OFF = Outcome(Reason.UNEXPECTED)


@dataclass(frozen=True, slots=True)
class Limits:
    """See ``streams.settings.Gateway``."""

    max_frame_bytes: int = 4_194_304
    frame_deadline_s: float = 30
    idle_timeout_s: float = 600
    max_connections: int = 1024
    max_in_flight_per_sender: int = 500


class Door(Protocol):
    """``gateway.hl7.Hl7Door``."""

    def answer(self, payload: bytes) -> Awaitable[bytes | None]: ...

    def refuse(self, payload: bytes, outcome: Outcome) -> bytes | None: ...


class Counters(Protocol):
    """What operations sees of connections."""

    def connection(self, change: int) -> None: ...

    def closed(self, why: str) -> None:
        """``why``: peer, idle, frame_deadline, too_large, too_many_connections, not_reading, stopping."""


class MllpServer:
    """A listener and its connections.

    Args:
        monotonic: clock of deadlines, seconds.
    """

    def __init__(self, door: Door, limits: Limits, counters: Counters, *, monotonic: Callable[[], float]) -> None:
        self.door = door
        self.limits = limits
        self.counters = counters
        self.monotonic = monotonic
        self.connections: set[Connection] = set()
        self.refused: set[Connection] = set()
        self.shares = Shares(limits.max_in_flight_per_sender)
        #: Connections with frames that wait for their sender's share.
        self.held: dict[str, dict[Connection, None]] = {}
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen; returns the port (``port`` 0 takes a free one). Raises OSError when it cannot."""
        loop = asyncio.get_running_loop()
        handshake = TLS_HANDSHAKE_TIMEOUT_S if tls else None
        self._server = await loop.create_server(
            lambda: Connection(self), host, port, ssl=tls, ssl_handshake_timeout=handshake, backlog=1024
        )
        self._sweeper = loop.create_task(self._sweep())
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self, patience_s: float) -> None:
        """Stop listening and reading, answer what was received whole, then close."""
        if self._server is not None:
            self._server.close()
        for connection in (*self.connections, *self.refused):
            connection.finish("stopping")
        deadline = self.monotonic() + patience_s
        while (self.connections or self.refused) and self.monotonic() < deadline:
            await asyncio.sleep(0.01)
        for connection in (*self.connections, *self.refused):
            connection.abort("stopping")
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper

    def give(self, sender: str, count: int) -> None:
        """So many answers are done: the sender's connections that wait for them go on, in the order in which they began to wait."""
        self.shares.give(sender, count)
        for connection in self.held.pop(sender, ()):
            connection.proceed()

    async def _sweep(self) -> None:
        shortest = min(self.limits.frame_deadline_s, self.limits.idle_timeout_s, REFUSAL_DEADLINE_S)
        while True:
            await asyncio.sleep(min(1.0, shortest / 4))
            now = self.monotonic()
            for connection in (*self.connections, *self.refused):
                connection.check(now)


class Connection(asyncio.Protocol):
    """One peer. Frames become tasks; their answers leave in order."""

    def __init__(self, server: MllpServer) -> None:
        self._server = server
        self._decoder = FrameDecoder(server.limits.max_frame_bytes)
        # Frames not begun yet; with an outcome: to be refused without being looked at.
        self._waiting: deque[tuple[bytes, Outcome | None]] = deque()
        self._answers: deque[asyncio.Future[bytes | None]] = deque()
        self._transport: asyncio.Transport | None = None
        self._sender = ""
        self._since = server.monotonic()
        self._blocked_since: float | None = None
        self._lingers_since: float | None = None
        self._reading = True
        self._ending: str | None = None
        self._surplus = False

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._sender = _sender(transport)
        server = self._server
        if len(server.connections) < server.limits.max_connections:
            server.connections.add(self)
            server.counters.connection(1)
            return
        self._surplus = True
        server.refused.add(self)
        if len(server.refused) > REFUSALS:
            self.abort("too_many_connections")

    def data_received(self, data: bytes) -> None:
        if self._ending is not None:
            return
        was_inside = self._decoder.in_frame
        frames = self._decoder.feed(data)
        if frames or self._decoder.in_frame != was_inside:
            self._since = self._server.monotonic()
        if self._surplus:
            head = frames[0] if frames else self._decoder.overflow
            if head is not None:
                self._end("too_many_connections", head, UNAVAILABLE)
            return
        self._waiting.extend((frame, None) for frame in frames)
        if self._decoder.overflow is not None:
            self._end("too_large", self._decoder.overflow, TOO_LARGE)
        elif frames:
            self._begin()

    def eof_received(self) -> bool:
        if self._lingers_since is not None:
            return False
        self._end("peer", self._decoder.partial, CUT_OFF)
        # TLS has no half-closed state; over TCP what was received whole is still answered.
        return self._transport is not None and self._transport.get_extra_info("sslcontext") is None

    def pause_writing(self) -> None:
        self._blocked_since = self._server.monotonic()
        self._flow()

    def resume_writing(self) -> None:
        self._blocked_since = None
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        server = self._server
        if self in server.connections:
            server.connections.discard(self)
            server.counters.connection(-1)
        server.refused.discard(self)
        server.counters.closed(self._ending or "peer")
        self._waiting.clear()  # not begun: never acknowledged, the sender sends again
        self._transport = None

    # What the server calls.

    def check(self, now: float) -> None:
        """Close the connection when a deadline has passed."""
        limits, waited = self._server.limits, now - self._since
        if self._lingers_since is not None:
            if now - self._lingers_since > LINGER_S:
                self.abort(self._ending or "peer")
        elif self._blocked_since is not None:
            if now - self._blocked_since > limits.frame_deadline_s:
                self.abort("not_reading")
        elif self._surplus and waited > REFUSAL_DEADLINE_S:
            self.abort("too_many_connections")
        elif self._ending is not None or not self._reading:
            return
        elif self._decoder.in_frame:
            if waited > limits.frame_deadline_s:
                self._end("frame_deadline", self._decoder.partial, CUT_OFF)
        elif not self._answers and waited > limits.idle_timeout_s:
            self.finish("idle")

    def finish(self, why: str) -> None:
        """Read nothing more, answer what was received whole, close."""
        if self._lingers_since is not None:
            self.abort(self._ending or why)
        else:
            self._end(why)

    def abort(self, why: str) -> None:
        self._ending = why
        if self._transport is not None:
            self._transport.abort()

    # How frames become answers.

    def _begin(self) -> None:
        door = self._server.door
        while self._waiting and len(self._answers) < PIPELINE and self._blocked_since is None:
            if not self._server.shares.take(self._sender):
                self._server.held.setdefault(self._sender, {})[self] = None
                break
            frame, outcome = self._waiting.popleft()
            answer = asyncio.ensure_future(door.answer(frame) if outcome is None else _ready(door.refuse(frame, outcome)))
            self._answers.append(answer)
            answer.add_done_callback(self._flush)
        self._flow()
        if self._ending and not self._answers and not self._waiting:
            self._leave()

    def _flush(self, _: asyncio.Future[bytes | None]) -> None:
        ready: list[bytes] = []
        answers, done = self._answers, 0
        while answers and answers[0].done():
            done += 1
            answer = answers.popleft().result()
            if answer is not None:
                ready.append(encode_frame(answer))
        if ready and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(ready))
        if not answers:
            self._since = self._server.monotonic()
        self._begin()
        if done:
            self._server.give(self._sender, done)

    def proceed(self) -> None:
        """There may be room in the sender's share."""
        self._begin()

    def _flow(self) -> None:
        """Read only while the peer has room for another answer."""
        if self._transport is None or self._transport.is_closing() or self._ending is not None:
            return
        room = not self._waiting and len(self._answers) < PIPELINE and self._blocked_since is None
        if room and not self._reading:
            self._since = self._server.monotonic()
            self._transport.resume_reading()
        elif not room and self._reading:
            self._transport.pause_reading()
        self._reading = room

    def _end(self, why: str, head: bytes = b"", outcome: Outcome | None = None) -> None:
        """Close after all answers, the last of them a refusal of the frame that begins with ``head``."""
        if self._ending is not None:
            return
        self._ending = why
        if head and outcome is not None:
            self._waiting.append((head, outcome))
        self._begin()

    def _leave(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing() or self._lingers_since is not None:
            return
        if self._ending in ("peer", "idle", "stopping"):
            transport.close()
            return
        self._lingers_since = self._server.monotonic()
        transport.resume_reading()
        if transport.can_write_eof():
            transport.write_eof()


def _sender(transport: asyncio.Transport) -> str:
    """Who its certificate says, else its address; kept in memory as long as something of it is in flight."""
    if certificate := transport.get_extra_info("peercert"):
        return str(certificate.get("subject"))
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if peer else ""


async def _ready(answer: bytes | None) -> bytes | None:
    return answer
