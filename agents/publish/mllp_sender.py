"""One MLLP connection to a receiver: one message outstanding, its acknowledgement awaited, connected again when it was lost."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from enum import StrEnum

from schemas.errors import ConfigurationError, Poison, ReceiverUnavailable
from schemas.hl7.er7 import parse
from schemas.mllp import FrameDecoder, encode_frame

#: An acknowledgement is small; more than this is no acknowledgement.
_MAX_ANSWER = 65_536


class Answer(StrEnum):
    """What MSA-1 comes down to, in original and in enhanced mode (HL7 table 0008)."""

    ACCEPTED = "accepted"
    ERROR = "error"
    REJECTED = "rejected"


_CODES = {
    "AA": Answer.ACCEPTED,
    "CA": Answer.ACCEPTED,
    "AE": Answer.ERROR,
    "CE": Answer.ERROR,
    "AR": Answer.REJECTED,
    "CR": Answer.REJECTED,
}


def read_address(receiver: str) -> tuple[str, int]:
    """``host:port`` or ``[v6]:port``. Raises ConfigurationError."""
    host, _, port = receiver.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigurationError(path="publish.receiver", detail="host:port is needed")
    return host, int(port)


class MllpSender:
    """Not for concurrent use: HL7's protocol has one message outstanding per connection.

    Args:
        timeout_s: for connecting and for an acknowledgement, each.
    """

    def __init__(self, host: str, port: int, *, timeout_s: float) -> None:
        self._host, self._port, self._timeout_s = host, port, timeout_s
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, message: bytes, control_id: str) -> Answer:
        """Send and wait for the acknowledgement of ``control_id``; answers to earlier messages are passed over.

        Raises:
            ReceiverUnavailable: no connection, no answer in time, or the connection ended; whether the message arrived is unknown, and
                sending it again is safe because its control id does not change.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                reader, writer = await self._connected()
            async with asyncio.timeout(self._timeout_s):
                writer.write(encode_frame(message))
                await writer.drain()
                return await _answer(reader, control_id)
        except (OSError, TimeoutError, EOFError):
            await self.close()
            raise ReceiverUnavailable(path="publish.receiver") from None
        except asyncio.CancelledError:
            await self.close()  # an answer that comes later would be taken for the next message's
            raise

    async def close(self) -> None:
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await writer.wait_closed()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None or self._writer.is_closing() or self._reader.at_eof():
            await self.close()
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self._reader, self._writer


async def _answer(reader: asyncio.StreamReader, control_id: str) -> Answer:
    decoder = FrameDecoder(_MAX_ANSWER)
    while True:
        data = await reader.read(4096)
        if not data:
            raise EOFError
        for frame in decoder.feed(data):
            answer = _read(frame, control_id)
            if answer is not None:
                return answer
        if decoder.overflow is not None:
            raise EOFError


def _read(frame: bytes, control_id: str) -> Answer | None:
    """``None`` for an answer to another message; what cannot be read is an error, to be tried again."""
    try:
        acknowledgement = parse(frame).first("MSA")
    except Poison:
        return Answer.ERROR
    if acknowledgement is None:
        return Answer.ERROR
    about = acknowledgement.get(2)
    if about and about != control_id:
        return None
    return _CODES.get(acknowledgement.get(1).upper(), Answer.ERROR)
