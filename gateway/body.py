"""Request bodies: read with a size cap, a deadline and a budget over all requests, whole or line by line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from gateway.intake import Busy
from schemas.errors import MalformedMessage, Poison, Reason, UnsupportedContent

#: A body (or, in bulk, the next piece of it) must come within this time.
DEADLINE_S = 30.0
#: All bodies that are being read or worked on may together be this many times the cap of one.
BUDGET_BODIES = 4


class BodyTimeout(Poison):
    """The peer did not send its body in time."""


class Bodies:
    """Reads bodies of one door.

    Args:
        max_bytes: of one body, or of one line in bulk.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._budget = max_bytes * BUDGET_BODIES

    async def whole(self, request: Request) -> Hold:
        """Use as ``async with await bodies.whole(request) as payload``.

        Raises:
            MalformedMessage: ``too_large``, before the rest is read. Busy: too many large bodies at a time. BodyTimeout.
        """
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > self.max_bytes:
            raise MalformedMessage(Reason.TOO_LARGE)
        hold = Hold(self)
        try:
            async with asyncio.timeout(DEADLINE_S):
                async for chunk in request.stream():
                    hold.add(chunk)
        except TimeoutError:
            hold.release()
            raise BodyTimeout from None
        except (ClientDisconnect, Poison, Busy):
            hold.release()
            raise
        return hold

    async def lines(self, request: Request) -> AsyncIterator[bytes]:
        """Non-empty lines of the body. Only one line is held at a time. Raises as ``whole``."""
        rest = bytearray()
        stream = aiter(request.stream())
        while True:
            try:
                chunk = await asyncio.wait_for(anext(stream), DEADLINE_S)
            except StopAsyncIteration:
                break
            except TimeoutError:
                raise BodyTimeout from None
            scanned = len(rest)
            rest += chunk
            while (end := rest.find(b"\n", scanned)) >= 0:
                line = bytes(rest[:end]).strip()
                del rest[: end + 1]
                scanned = 0
                if line:
                    yield line
            if len(rest) > self.max_bytes:
                raise MalformedMessage(Reason.TOO_LARGE)
        if line := bytes(rest).strip():
            yield line


class Hold:
    """One body in memory, counted against the budget until released."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._chunks: list[bytes] = []
        self._size = 0

    def add(self, chunk: bytes) -> None:
        if self._size + len(chunk) > self._bodies.max_bytes:
            raise MalformedMessage(Reason.TOO_LARGE)
        if self._bodies._budget < len(chunk):
            raise Busy(detail="body budget")
        self._size += len(chunk)
        self._bodies._budget -= len(chunk)
        self._chunks.append(chunk)

    def release(self) -> None:
        self._bodies._budget += self._size
        self._size = 0
        self._chunks.clear()

    async def __aenter__(self) -> bytes:
        return b"".join(self._chunks)

    async def __aexit__(self, *_: object) -> None:
        self.release()


def content_type_of(request: Request) -> str:
    """Media type without parameters. Raises UnsupportedContent for a charset other than UTF-8 or an encoded body."""
    name, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    for parameter in parameters.split(";"):
        key, _, value = parameter.partition("=")
        if key.strip() == "charset" and value.strip().strip('"') not in ("utf-8", "utf8"):
            raise UnsupportedContent(path="content-type")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedContent(path="content-encoding")
    return name.strip()
