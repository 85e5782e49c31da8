"""Hot swaps under load: one worker of ``extract`` on a real broker, a release after the other while notes stream through it.

    python -m benchmarks.hot_swap --swaps 200

The same worker first runs without swaps, for the baseline of latency. Latency is from the broker's timestamp of the message to that of its
findings (both CreateTime on one machine).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Producer as Client

from benchmarks.rebundled import own_key, rebundled
from models.store import BundleStore
from ops.audited import Act
from ops.loop.releasing import release
from schemas.deidentified import DeidMap
from schemas.envelope import HL7_V2, DataClass, Envelope, parse_headers
from schemas.findings import Findings
from schemas.releases import BundleRef, Canary, ModelRelease
from streams import admin, embedded, topics
from streams.producer import Producer
from streams.settings import Kafka, Models, Redis, Settings, Worker
from streams.tail import tail

ROOT = Path(__file__).resolve().parents[1]
NAME = "wardstream-entities"
NOTE = (
    "MSH|^~\\&|LAB|H|WS|H|2024||ORU^R01^ORU_R01|{n}|P|2.5.1\rPID|1||{subject}^^^WS||||1958|F\r"
    "OBR|1||1|18842-5^Discharge summary^LN|||2024\r"
    "OBX|1|TX|18842-5^Discharge summary^LN||Visit {n}. Start metformin 500 mg twice daily for type 2 diabetes. No chest pain.||||||F\r"
)


@dataclass(frozen=True, slots=True)
class Bench:
    """A worker with two signed bundles, A and B, in its store."""

    settings: Settings
    folder: Path
    key: Path
    process: subprocess.Popen[bytes]
    log: Path
    a: BundleRef
    b: BundleRef

    def release(self, champion: BundleRef, canary: Canary | None = None) -> str:
        """Release and return the release's id."""
        act = Act(str(uuid.uuid4()), "benchmark", "HOPERAT", datetime.now(UTC))
        made = ModelRelease(
            id=act.id, name=NAME, action="promote", champion=champion, canary=canary, time=act.time, agent=act.agent
        )

        async def go() -> None:
            log = Producer(self.settings.kafka, client_id="benchmark", linger_ms=0)
            await release(log, made, act)
            await log.close()

        asyncio.run(go())
        return made.id

    def heard(self, name: str, timeout_s: float = 60) -> str:
        """What the worker's log says became of this release: applied, refused or waiting."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for line in self.log.read_text().splitlines():
                if '"model_release"' in line and name in line:
                    return str(json.loads(line)["status"])
            time.sleep(0.02)
        raise TimeoutError(f"the worker did not say what became of a release: {self.log.read_text()[-2000:]}")

    def send(self, numbers: range, rate: float) -> None:
        """One note a number, ``rate`` a second."""
        client = Client({"bootstrap.servers": self.settings.kafka.bootstrap, "acks": "all", "linger.ms": 0, "log_level": 0})
        started = time.monotonic()
        for count, n in enumerate(numbers):
            time.sleep(max(0.0, started + count / rate - time.monotonic()))
            subject = f"wspt-{n % 50}"
            headers = Envelope(
                id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"ready-{n}")),
                source="/agents/deidentify",
                type="org.wardstream.message.ready",
                time=datetime.now(UTC).isoformat(),
                content_type=HL7_V2,
                data_class=DataClass.INTERNAL,
                origin=origin(n),
                subject=subject,
                policy="policy-1",
                deid_map=DeidMap().encode(),
            ).headers()
            value = NOTE.format(n=n, subject=subject).encode()
            client.produce(self.settings.kafka.topic_prefix + topics.READY, value, key=subject.encode(), headers=list(headers))
            client.poll(0)
        if client.flush(30):
            raise RuntimeError("not everything was stored")

    def found(self, count: int, timeout_s: float = 120) -> list[Any]:
        """Every record of findings, once there are ``count``, and half a second more for surplus."""
        deadline = time.monotonic() + timeout_s
        rows: list[Any] = []
        while len(rows) < count and time.monotonic() < deadline:
            time.sleep(0.5)
            rows = list(tail(self.settings.kafka, [topics.EXTRACTED], to_end=True))
        return rows

    def memory_mib(self) -> float:
        """Resident memory of the worker."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("no VmRSS")


def origin(n: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"origin-{n}"))


@contextmanager
def bench(bootstrap: str, redis_url: str, folder: Path, *, store: str | None = None) -> Iterator[Bench]:
    """``store``: instead of a folder that holds both bundles."""
    key = own_key(folder)
    a, b = (rebundled(folder, key, version) for version in ("9.0.1", "9.0.2"))
    real = folder / "store"
    chosen = Models(store=str(real), cache=folder / "cache", trusted_keys=folder / "trusted", execution="cpu", threads=1)
    kept = BundleStore(chosen.store, chosen.cache, trusted_keys=chosen.trusted_keys)
    refs = kept.put(a), kept.put(b)
    settings = Settings(
        kafka=Kafka(bootstrap=bootstrap, topic_prefix=f"s{uuid.uuid4().hex[:8]}.", partitions=4, session_timeout_s=6),
        redis=Redis(url=redis_url),
        models=chosen.model_copy(update={"store": store or str(real)}),
        worker=Worker(),
    )
    admin.apply(settings.kafka)
    with worker(settings, folder) as (process, log):
        yield Bench(settings, folder, key, process, log, *refs)


@contextmanager
def worker(settings: Settings, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A process of the stage ``extract`` that has partitions, and its log."""
    log = folder / f"worker-{uuid.uuid4().hex[:6]}.log"
    rows = {
        "KAFKA__BOOTSTRAP": settings.kafka.bootstrap, "KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix, "KAFKA__PARTITIONS": 4,
        "KAFKA__SESSION_TIMEOUT_S": 6, "REDIS__URL": settings.redis.url, "MODELS__STORE": settings.models.store,
        "MODELS__CACHE": settings.models.cache, "MODELS__TRUSTED_KEYS": settings.models.trusted_keys, "MODELS__EXECUTION": "cpu",
        "MODELS__THREADS": 1, "WORKER__METRICS_PORT": settings.worker.metrics_port,
    }  # fmt: skip
    environment = {**os.environ, **{f"WARDSTREAM_{k}": str(v) for k, v in rows.items()}, "PYTHONPATH": str(ROOT)}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "agents.worker", "extract"], cwd=ROOT, env=environment, stdout=sink, stderr=sink
        )
    try:
        deadline = time.monotonic() + 90
        while '"assigned"' not in log.read_text():
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"the worker did not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield process, log
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def measure(on: Bench, swaps: int, rate: float, baseline_s: float) -> dict[str, Any]:
    """Baseline, then ``swaps`` releases in turn of B and A while notes stream; what came out of it."""
    base = round(rate * baseline_s)
    if on.heard(on.release(on.a)) != "applied":
        raise RuntimeError("the first release was not applied")
    on.send(range(rate_warm := round(rate * 3)), rate)  # neither counted in the baseline nor among the swaps
    on.send(range(rate_warm, rate_warm + base), rate)
    first = rate_warm + base
    sent, done = [first], threading.Event()

    def load() -> None:
        while not done.is_set():
            on.send(range(sent[0], sent[0] + round(rate)), rate)
            sent[0] += round(rate)

    memory: list[float] = []
    thread = threading.Thread(target=load)
    thread.start()
    started, outcomes = time.monotonic(), Counter[str]()
    try:
        for number in range(swaps):
            outcomes[on.heard(on.release(on.b if number % 2 == 0 else on.a))] += 1
            memory.append(on.memory_mib())
    finally:
        took = time.monotonic() - started
        done.set()
        thread.join()
    rows = on.found(sent[0])
    arrived = {parse_headers(r.headers).origin: r.timestamp for r in tail(on.settings.kafka, [topics.READY], to_end=True)}
    latencies: dict[str, list[int]] = {"baseline": [], "swapping": []}
    seen, mixed, versions = Counter[str](), 0, Counter[str]()
    number_of = {origin(n): n for n in range(sent[0])}
    for row in rows:
        envelope, findings = parse_headers(row.headers), msgspec.json.decode(row.value, type=Findings)
        seen[envelope.origin] += 1
        model = findings.versions.entity_model
        sources = {m.source for m in findings.mentions if m.source.startswith(NAME)}
        mixed += sources != {model} or not (envelope.model or "").startswith(model + "/")
        versions[model] += 1
        n = number_of[envelope.origin]
        if n >= rate_warm:
            latencies["baseline" if n < first else "swapping"].append(row.timestamp - arrived[envelope.origin])
    p99 = {name: statistics.quantiles(values, n=100)[98] for name, values in latencies.items()}
    tenth = max(1, len(memory) // 10)
    return {
        "swaps": swaps, "applied": outcomes["applied"], "seconds": round(took, 1), "notes_per_s": rate, "sent": sent[0],
        "lost": sent[0] - len(seen), "doubled": sum(count - 1 for count in seen.values()), "mixed": mixed, "by_version": dict(versions),
        "p50_ms": {name: statistics.median(values) for name, values in latencies.items()}, "p99_ms": p99,
        "p99_ratio": round(p99["swapping"] / p99["baseline"], 2),
        "memory_mib": {"after_first_tenth": round(memory[tenth - 1], 1), "last": round(memory[-1], 1), "most": round(max(memory), 1)},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=200)
    parser.add_argument("--rate", type=float, default=10.0, help="notes a second")
    parser.add_argument("--baseline-s", type=float, default=60.0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with embedded.broker(folder / "broker") as broker, embedded.redis_server(folder / "redis") as redis:
            (folder / "bench").mkdir()
            with bench(broker.address, f"redis://{redis.address}/0", folder / "bench") as on:
                result = measure(on, given.swaps, given.rate, given.baseline_s)
    print(json.dumps(result, indent=1))
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
