"""An MLLP receiver on a loopback port that answers as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from schemas.hl7.er7 import parse
from schemas.mllp import FrameDecoder, encode_frame

#: Gets the message and how many came before it; answers with bytes to send as they are, or None to hang up.
Script = Callable[[bytes, int], bytes | None]


def control_id(message: bytes) -> str:
    header = parse(message).first("MSH")
    assert header is not None
    return header.get(10)


def acknowledge(code: str, message: bytes, *, about: str | None = None) -> bytes:
    name = control_id(message) if about is None else about
    return encode_frame(f"MSH|^~\\&|EHR|SITE|||20260302||ACK|1|P|2.5.1\rMSA|{code}|{name}\r".encode())


class Receiver:
    """``received`` are the messages in order of arrival, repetitions included."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.received: list[bytes] = []
        self.connections = 0
        self.address = ""

    async def __aenter__(self) -> Receiver:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        decoder = FrameDecoder()
        try:
            while data := await reader.read(4096):
                for frame in decoder.feed(data):
                    self.received.append(frame)
                    answer = self._script(frame, len(self.received) - 1)
                    if answer is None:
                        return
                    writer.write(answer)
                    await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()
