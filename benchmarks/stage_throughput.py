"""Records per second of one worker process on real Kafka, output included: ``python -m benchmarks.stage_throughput [--json FILE]``.

The input topic is filled first; the clock runs from the first to the last output record by the broker's own view, so start-up
is not counted and the output must really be stored. The default stage has no model: it re-keys each record and passes it on.
Broker, Redis and worker share the machine's cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.envelope import HL7_V2, DataClass, Envelope
from streams import admin, embedded, kafka_local, runner
from streams.record import Output, Record
from streams.settings import Kafka, Redis, Settings, load
from streams.stage import Done, Outcome
from streams.topics import Topic

RESULTS = Path(__file__).with_name("results") / "stage_throughput.json"
READS, WRITES = "phi.bench.received.v1", "deid.bench.ready.v1"
TABLE = (Topic(READS, (HL7_V2,), "hash", "in"), Topic(WRITES, (HL7_V2,), "hash", "out"))
PARTITIONS = 8


class PassThrough:
    """Re-keys by a digest and passes value and headers on: what the discipline itself costs."""

    name = "pass-through"

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    async def process(self, records: Sequence[Record]) -> Sequence[Outcome]:
        return [
            Done((Output(WRITES, hashlib.blake2b(record.key or b"", digest_size=16).digest(), record.value, record.headers),))
            for record in records
        ]


def fill(bootstrap: str, topic: str, count: int, size: int) -> None:
    """``count`` records of ``size`` bytes that do not compress, over 5,000 keys, with a full set of headers."""
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 20, "queue.buffering.max.messages": 500_000})
    source = random.Random(1)
    bodies = [source.randbytes(size) for _ in range(64)]
    envelope = Envelope(
        id="0" * 36, source="/mllp", type="org.wardstream.bench.received", time="2026-01-01T00:00:00.000Z",
        content_type=HL7_V2, data_class=DataClass.RESTRICTED, origin="0" * 36,
    )  # fmt: skip
    headers = list(envelope.headers())
    for number in range(count):
        producer.produce(topic, bodies[number % 64], key=b"patient-%d" % (number % 5000), headers=headers)
        if number % 5000 == 0:
            producer.poll(0)
    if producer.flush(120):
        raise SystemExit("the input could not be stored")


def stored(consumer: Consumer, topic: str) -> int:
    return sum(consumer.get_watermark_offsets(TopicPartition(topic, n), timeout=10)[1] for n in range(PARTITIONS))


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, start-up included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(kafka: str, redis: str, *, count: int, size: int, batch: int, run: int) -> dict[str, float]:
    prefix = f"bench{run}."
    settings = Settings(kafka=Kafka(bootstrap=kafka, topic_prefix=prefix, partitions=PARTITIONS), redis=Redis(url=redis))
    admin.Admin(settings.kafka).apply(admin.wanted(settings.kafka, TABLE))
    fill(kafka, prefix + READS, count, size)
    environment = {
        "WARDSTREAM_KAFKA__BOOTSTRAP": kafka,
        "WARDSTREAM_KAFKA__TOPIC_PREFIX": prefix,
        "WARDSTREAM_REDIS__URL": redis,
        "WARDSTREAM_WORKER__BATCH_SIZE": str(batch),
    }
    watcher = Consumer({"bootstrap.servers": kafka, "group.id": "bench-watcher"})
    worker = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.stage_throughput", "--worker"],
        env={**os.environ, **environment},
        stderr=subprocess.DEVNULL,
    )
    try:
        while (first := stored(watcher, prefix + WRITES)) == 0:
            time.sleep(0.005)
        started = time.perf_counter()
        while (now := stored(watcher, prefix + WRITES)) < count:
            time.sleep(0.02)
            if time.perf_counter() - started > 300:
                raise SystemExit(f"only {now} of {count} came out")
        seconds = time.perf_counter() - started
        cpu = cpu_seconds(worker.pid)
    finally:
        worker.terminate()
        worker.wait(30)
        watcher.close()
    if (surplus := now - count) != 0:
        raise SystemExit(f"{surplus} records too many")
    return {
        "records_per_second": round((count - first) / seconds, 1),
        "seconds": round(seconds, 3),
        "worker_cpu_us_per_record": round(1e6 * cpu / count, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, default=40_000)
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.worker:
        runner.exit_process(runner.run(PassThrough(), READS, load()))
    with (
        tempfile.TemporaryDirectory() as folder,
        kafka_local.kafka(Path(folder) / "kafka") as kafka,
        embedded.redis_server(Path(folder) / "redis") as redis,
    ):
        runs = []
        for run in range(options.runs):
            runs.append(
                measure(
                    kafka.address,
                    f"redis://{redis.address}/0",
                    count=options.count,
                    size=options.size,
                    batch=options.batch,
                    run=run,
                )
            )
            print(runs[-1], flush=True)
    result = {
        "command": f"python -m benchmarks.stage_throughput --count {options.count} --size {options.size} --batch {options.batch}",
        "stage": PassThrough.name,
        "worker_processes": 1,
        "record_bytes": options.size,
        "records": options.count,
        "runs": runs,
        "median_records_per_second": sorted(row["records_per_second"] for row in runs)[len(runs) // 2],
        "load_average": round(os.getloadavg()[0], 2),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "faust": version("faust-streaming"),
        "confluent_kafka": version("confluent-kafka"),
    }
    options.json.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
