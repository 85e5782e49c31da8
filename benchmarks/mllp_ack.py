"""MLLP acknowledgements on a real Kafka: how many per second, and how long one takes.

    python -m benchmarks.mllp_ack [--seconds 10] [--connections 16]

Starts Kafka, Redis and ``wardstream gateway`` as processes of their own on loopback; senders run in this process. Every answer is
AA after Kafka's delivery report (acks=all), every message is new (the duplicate ledger is asked for each). Three runs:

* closed: one message outstanding per connection, as fast as answers come (the flow that HL7 interfaces use);
* pipelined: ``--depth`` messages outstanding per connection;
* paced: half the rate of ``closed``, evenly spaced over the same connections: the latency that a feed sees. A message that finds its
  connection busy waits, and its wait counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx

from ops.stack import make_keyring, settings_of
from schemas.mllp import FrameDecoder, encode_frame
from streams import admin, embedded, kafka_local
from streams.key_encryption.file import master_key
from streams.settings import Kafka

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "mllp_ack.json"
BYTES = 1000


def message(number: int) -> bytes:
    """An ORU^R01 of ``BYTES`` bytes with its own control id and one of 500 patients."""
    head = (
        f"MSH|^~\\&|LAB|NORTH|WARD|HERE|20260304050607||ORU^R01^ORU_R01|{number:010d}|P|2.5.1\r"
        f"PID|1||{number % 500:06d}^^^NORTH^MR||Sample^Patient||19700101|F\r"
        "OBR|1||A1|24323-8^Comprehensive metabolic panel^LN\r"
        "OBX|1|NM|2160-0^Creatinine^LN||1.1|mg/dL|0.6-1.2|N|||F\r"
        "OBX|2|TX|11488-4^Consult note^LN||"
    )
    return (head + "x" * (BYTES - len(head) - 1) + "\r").encode()


@dataclass(slots=True)
class Run:
    latencies: list[float] = field(default_factory=list)
    other: int = 0
    seconds: float = 0.0

    def summary(self) -> dict[str, float | int]:
        rows = sorted(self.latencies)

        def at(share: float) -> float:
            return round(rows[min(len(rows) - 1, int(share * len(rows)))] * 1000, 2)

        return {
            "accepted": len(rows),
            "not_accepted": self.other,
            "per_second": round(len(rows) / self.seconds, 1),
            "p50_ms": at(0.5),
            "p95_ms": at(0.95),
            "p99_ms": at(0.99),
            "max_ms": round(rows[-1] * 1000, 2),
        }


class Sender(asyncio.Protocol):
    """One connection; answers come in the order of the messages."""

    def __init__(self, run: Run) -> None:
        self._decoder = FrameDecoder()
        self._run = run
        self._sent: list[float] = []
        self._answered = 0
        self._transport: asyncio.Transport | None = None
        self.room = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, number: int, due: float | None = None) -> None:
        assert self._transport is not None
        self._sent.append(due or time.perf_counter())
        self._transport.write(encode_frame(message(number)))

    @property
    def outstanding(self) -> int:
        return len(self._sent) - self._answered

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        for frame in self._decoder.feed(data):
            if b"\rMSA|AA|" in frame:
                self._run.latencies.append(now - self._sent[self._answered])
            else:
                self._run.other += 1
            self._answered += 1
        self.room.set()

    async def until(self, outstanding: float) -> None:
        while self.outstanding > outstanding:
            self.room.clear()
            await self.room.wait()

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()


class Load:
    """Numbers messages so that no two runs repeat one. ``address``: which of the loopback's it sends from."""

    def __init__(self, port: int, connections: int, seconds: float, *, first: int = 0, address: str = "127.0.0.1") -> None:
        self._from = (address, 0)
        self._port, self._connections, self._seconds = port, connections, seconds
        self._number = first

    def next(self) -> int:
        self._number += 1
        return self._number

    async def run(self, *, depth: float = 1, rate: float | None = None) -> Run:
        run = Run()
        loop = asyncio.get_running_loop()
        senders = [
            (await loop.create_connection(lambda: Sender(run), "127.0.0.1", self._port, local_addr=self._from))[1]
            for _ in range(self._connections)
        ]
        begun = time.perf_counter()
        if rate is None:
            await asyncio.gather(*(self._closed(sender, depth, begun) for sender in senders))
        else:
            interval = self._connections / rate
            await asyncio.gather(*(self._paced(s, begun + n / rate, interval, begun) for n, s in enumerate(senders)))
        run.seconds = time.perf_counter() - begun
        for sender in senders:
            sender.close()
        return run

    async def _closed(self, sender: Sender, depth: float, begun: float) -> None:
        while time.perf_counter() - begun < self._seconds:
            while sender.outstanding < depth:
                sender.send(self.next())
            await sender.until(depth - 1)
        await sender.until(0)

    async def _paced(self, sender: Sender, due: float, interval: float, begun: float) -> None:
        while due - begun < self._seconds:
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            await sender.until(0)
            sender.send(self.next(), due)
            due += interval
        await sender.until(0)


@contextmanager
def gateway(bootstrap: str, redis_url: str, directory: Path, **settings: object) -> Iterator[tuple[int, int]]:
    """A gateway as a process of its own: its MLLP port and process number. ``settings``: of it, as ``GATEWAY__NAME``."""
    admin.apply(Kafka(bootstrap=bootstrap))
    (directory / "master.key").write_text(master_key())
    (directory / "http.token").write_text("benchmark-token-of-no-value")
    mllp, http = embedded.free_port(), embedded.free_port()
    rows = {
        "KAFKA__BOOTSTRAP": bootstrap,
        "REDIS__URL": redis_url,
        "SECRETS__MASTER_KEY_FILE": directory / "master.key",
        "GATEWAY__HTTP_TOKEN_FILE": directory / "http.token",
        "GATEWAY__MLLP_PORT": mllp,
        "GATEWAY__HTTP_PORT": http,
        **settings,
    }
    own = {f"WARDSTREAM_{name}": str(value) for name, value in rows.items()}
    asyncio.run(make_keyring(settings_of(own)))
    environment = {**os.environ, **own, "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-c", "from ops.cli import main; main()", "gateway"]
    process = subprocess.Popen(arguments, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                if httpx.get(f"http://127.0.0.1:{http}/readyz", trust_env=False).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            if time.monotonic() > deadline or process.poll() is not None:
                raise SystemExit("the gateway did not become ready")
            time.sleep(0.1)
        yield mllp, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(port: int, pid: int, arguments: argparse.Namespace) -> dict[str, object]:
    await Load(port, arguments.connections, 2).run()  # warm: connections to Kafka, topic metadata, the broker's JIT
    load = Load(port, arguments.connections, arguments.seconds, first=10_000_000)

    async def one(**how: float) -> dict[str, float | int]:
        begun, loaded = cpu_seconds(pid), os.getloadavg()[0]
        summary = (await load.run(**how)).summary()
        cost = (cpu_seconds(pid) - begun) / max(1, summary["accepted"])
        return {**summary, "gateway_cpu_us_per_message": round(cost * 1e6), "load_before": round(loaded, 2)}

    closed = await one()
    pipelined = await one(depth=arguments.depth)
    paced = await one(rate=arguments.rate or float(closed["per_second"]) / 2)
    return {"closed": closed, "pipelined": {"depth": arguments.depth, **pipelined}, "paced": paced}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--depth", type=int, default=16)
    parser.add_argument("--rate", type=float, help="messages per second of the paced run; half of closed by default")
    parser.add_argument("--no-record", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with (
            kafka_local.kafka(directory / "kafka") as kafka,
            embedded.redis_server(directory / "redis") as redis,
            gateway(kafka.address, f"redis://{redis.address}/0", directory) as (port, pid),
        ):
            runs = asyncio.run(measure(port, pid, arguments))
    report = {
        "what": "MLLP acknowledgements (AA after Kafka acks=all) on real Kafka, duplicate ledger in Redis",
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "niceness": os.nice(0)},
        "connections": arguments.connections,
        "message_bytes": BYTES,
        **runs,
    }
    print(json.dumps(report, indent=2))
    if not arguments.no_record:
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        RESULT.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
