"""What the gateway's tests share: a log that keeps the producer's contract in memory, messages, a client for MLLP."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gateway.duplicates import Ledger, MemoryLedger
from gateway.hl7 import Hl7Door
from gateway.intake import Intake
from gateway.mllp import Limits, MllpServer
from gateway.routing import RoutingKey
from schemas.errors import BrokerUnavailable
from schemas.mllp import FrameDecoder, encode_frame
from streams.record import Output
from tests.support.keyring import RING

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
ROUTING = RoutingKey(RING)


def clock() -> datetime:
    return NOW


def hl7(
    control: str = "C1",
    *,
    kind: str = "ORU^R01^ORU_R01",
    version: str = "2.5.1",
    processing: str = "P",
    accept: str = "",
    application: str = "",
    sender: str = "LAB|NORTH",
    patient: str = "PID|1||77001^^^NORTH^MR||Doe^Jane",
    text: str = "text",
    end: str = "\r",
) -> bytes:
    """A small message; every part of MSH that decides an acknowledgement can be set."""
    msh = f"MSH|^~\\&|{sender}|WARD|HERE|20260304||{kind}|{control}|{processing}|{version}|||{accept}|{application}"
    return end.join([line for line in (msh, patient, f"OBX|1|TX|N||{text}") if line] + [""]).encode()


class MemoryLog:
    """The producer's contract without a broker: stores, refuses or keeps the caller waiting."""

    def __init__(self) -> None:
        self.stored: list[Output] = []
        self.failing = False
        self.gate: asyncio.Event | None = None
        self.delay_s = 0.0

    def send(self, output: Output) -> asyncio.Future[None]:
        return asyncio.ensure_future(self.deliver(output))

    async def deliver(self, output: Output) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.failing:
            raise BrokerUnavailable
        self.stored.append(output)

    @property
    def payloads(self) -> list[bytes | None]:
        return [output.value for output in self.stored]


@dataclass
class CountedConnections:
    open: int = 0
    reasons: list[str] = field(default_factory=list)

    def connection(self, change: int) -> None:
        self.open += change

    def closed(self, why: str) -> None:
        self.reasons.append(why)


@dataclass
class Running:
    """A gateway's MLLP side on a free loopback port."""

    log: MemoryLog
    door: Hl7Door
    server: MllpServer
    counters: CountedConnections
    port: int
    intake: Intake

    async def __aenter__(self) -> Running:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.stop(2)
        await self.door.drained()


async def running(
    limits: Limits | None = None,
    *,
    log: MemoryLog | None = None,
    ledger: Ledger | None = None,
    max_in_flight: int = 1000,
    tls: ssl.SSLContext | None = None,
) -> Running:
    log = log or MemoryLog()
    intake = Intake(log, max_in_flight=max_in_flight, clock=clock)
    door = Hl7Door(intake, ledger or MemoryLedger(), ROUTING, charset_fallback="cp1252")
    counters = CountedConnections()
    server = MllpServer(door, limits or Limits(), counters, monotonic=asyncio.get_running_loop().time)
    port = await server.start("127.0.0.1", 0, tls)
    return Running(log, door, server, counters, port, intake)


class Client:
    """A sender that can also misbehave: raw bytes out, acknowledgements in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._decoder = FrameDecoder()
        self._frames: list[bytes] = []

    @classmethod
    async def connect(cls, port: int, tls: ssl.SSLContext | None = None, source: str | None = None) -> Client:
        server_name = "localhost" if tls else None
        return cls(
            *await asyncio.open_connection(
                "127.0.0.1", port, ssl=tls, server_hostname=server_name, local_addr=(source, 0) if source else None
            )
        )

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def receive(self, timeout_s: float = 5) -> bytes | None:
        """The next acknowledgement; ``None`` when the peer closed."""
        while not self._frames:
            chunk = await asyncio.wait_for(self.reader.read(65536), timeout_s)
            if not chunk:
                return None
            self._frames += self._decoder.feed(chunk)
        return self._frames.pop(0)

    async def post(self, payload: bytes) -> bytes | None:
        await self.raw(encode_frame(payload))
        return await self.receive()

    async def close(self) -> None:
        self.writer.close()


def fields(answer: bytes | None, segment: bytes) -> list[bytes]:
    """The fields of one segment of an acknowledgement; empty when it has none."""
    assert answer is not None
    separator = answer[3:4]
    return next((line.split(separator) for line in answer.split(b"\r") if line.startswith(segment)), [])


def code(answer: bytes | None) -> str:
    """MSA-1."""
    return fields(answer, b"MSA")[1].decode()


def error(answer: bytes | None) -> str:
    """Table 0357 code of ERR-3, empty when there is no ERR."""
    err = fields(answer, b"ERR")
    return err[3].split(b"^")[0].decode() if err else ""
