"""A small HL7 receiver on loopback that acknowledges what it gets: the EHR's place in the demo and in tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from schemas.mllp import FrameDecoder, encode_frame


@dataclass(slots=True)
class Receiver:
    """``received`` holds the frames in order of arrival; it holds identities, so it stays in memory."""

    port: int = 0
    received: list[bytes] = field(default_factory=list)

    @classmethod
    @contextmanager
    def listening(cls) -> Iterator[Receiver]:
        """Listen in a thread of its own until the block ends."""
        receiver = cls()
        ready, loop = threading.Event(), asyncio.new_event_loop()
        stopped = asyncio.Event()

        async def serve() -> None:
            server = await asyncio.start_server(receiver._connection, "127.0.0.1", 0)
            receiver.port = server.sockets[0].getsockname()[1]
            ready.set()
            await stopped.wait()
            server.close()

        thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="receiver", daemon=True)
        thread.start()
        ready.wait(5)
        try:
            yield receiver
        finally:
            loop.call_soon_threadsafe(stopped.set)
            thread.join(5)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder = FrameDecoder()
        while chunk := await reader.read(65536):
            for frame in decoder.feed(chunk):
                self.received.append(frame)
                writer.write(encode_frame(acknowledge(frame)))
            await writer.drain()
        writer.close()


def acknowledge(frame: bytes) -> bytes:
    """A plain original-mode AA that echoes MSH-10."""
    fields = frame.split(b"\r", 1)[0].split(b"|")
    control_id = fields[9] if len(fields) > 9 else b""
    return b"\r".join([b"MSH|^~\\&|EHR|SITE|WARDSTREAM|NLP|||ACK|" + control_id + b"|P|2.5.1", b"MSA|AA|" + control_id, b""])
