"""One installation beside others on a shared broker: settings, topics, workers as real processes, and an independent reader.

The reader and writer here use confluent-kafka directly, so that what they see does not depend on the code under test.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from schemas.envelope import HL7_V2
from streams import admin
from streams.settings import Kafka, Redis, Settings, Worker
from streams.topics import Topic, dead_letter
from tests.support.streams_stage import READS, WRITES

ROOT = Path(__file__).resolve().parents[2]
TABLE = (Topic(READS, (HL7_V2,), "key", "in"), Topic(WRITES, (HL7_V2,), "key", "out"))


@dataclass(slots=True)
class Site:
    """Use as a context manager; workers that are still running at the end are killed."""

    bootstrap: str
    redis_url: str
    directory: Path
    partitions: int = 4
    worker: dict[str, object] = field(default_factory=dict)
    session_timeout_s: float = 6
    prefix: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:10]}.")
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return Settings(
            kafka=Kafka(
                bootstrap=self.bootstrap,
                topic_prefix=self.prefix,
                partitions=self.partitions,
                session_timeout_s=self.session_timeout_s,
            ),
            redis=Redis(url=self.redis_url),
            worker=Worker(**{"retry_patience_s": 20.0, **self.worker}),  # type: ignore[arg-type]
        )

    def __enter__(self) -> Site:
        kafka = self.settings.kafka
        admin.Admin(kafka).apply(admin.wanted(kafka, TABLE))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.wait()

    def environment(self) -> dict[str, str]:
        settings = self.settings
        rows = {
            "KAFKA__BOOTSTRAP": settings.kafka.bootstrap,
            "KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
            "KAFKA__PARTITIONS": settings.kafka.partitions,
            "KAFKA__SESSION_TIMEOUT_S": settings.kafka.session_timeout_s,
            "REDIS__URL": settings.redis.url,
            "WORKER__RETRY_PATIENCE_S": settings.worker.retry_patience_s,
        } | {f"WORKER__{name.upper()}": value for name, value in self.worker.items()}
        return {f"WARDSTREAM_{name}": str(value) for name, value in rows.items()}

    def start(self, script: str = "tests/support/streams_stage.py", *, wait: bool = True) -> subprocess.Popen[bytes]:
        """A worker process; ``wait`` until it says in its log that it has partitions."""
        log = self.directory / f"worker-{len(self._processes)}.log"
        with log.open("ab") as sink:
            process = subprocess.Popen(
                [sys.executable, script],
                cwd=ROOT,
                env={**os.environ, **self.environment(), "PYTHONPATH": str(ROOT)},
                stdout=sink,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        self._processes.append(process)
        if wait:
            self.until(lambda: b'"assigned"' in log.read_bytes(), what="assignment")
        return process

    def logs(self) -> str:
        return "".join(path.read_text() for path in sorted(self.directory.glob("worker-*.log")))

    @staticmethod
    def until(condition: Callable[[], bool], *, timeout_s: float = 40, what: str = "condition") -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not come true within {timeout_s} s")
            time.sleep(0.05)

    def stop(self, process: subprocess.Popen[bytes], *, timeout_s: float = 30) -> int:
        """SIGTERM and the exit code."""
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout_s)

    def post(self, values: Iterable[tuple[bytes, bytes]], *, topic: str = READS, compression: str = "none") -> int:
        """Store ``(key, value)`` records; returns how many."""
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "acks": "all",
                "enable.idempotence": True,
                "log_level": 0,
                "compression.type": compression,
            }
        )
        count = 0
        for key, value in values:
            producer.produce(self.prefix + topic, value, key=key, headers=[("ce_time", b"2026-01-01T00:00:00Z")])
            count += 1
            if count % 1000 == 0:
                producer.poll(0)
        if producer.flush(30):
            raise AssertionError("the test's own records were not stored")
        return count

    def read(
        self, topic: str = WRITES, *, at_least: int = 0, distinct: int = 0, timeout_s: float = 40, settle_s: float = 0.0
    ) -> list[Message]:
        """Everything on a topic from the beginning; waits for ``at_least`` records with ``distinct`` different values, then
        ``settle_s`` more for surplus."""
        consumer = Consumer(
            {"bootstrap.servers": self.bootstrap, "group.id": f"reader-{uuid.uuid4()}", "isolation.level": "read_committed",
             "enable.auto.commit": False, "log_level": 0}
        )  # fmt: skip
        consumer.assign([TopicPartition(self.prefix + topic, number, 0) for number in range(self.partitions)])
        found: list[Message] = []
        different: set[bytes] = set()
        deadline = time.monotonic() + timeout_s
        settled: float | None = None
        try:
            while time.monotonic() < deadline and (settled is None or time.monotonic() < settled):
                new = [message for message in consumer.consume(500, 0.1) if message.error() is None]
                found += new
                different.update(values(new))
                if len(found) >= at_least and len(different) >= distinct and settled is None:
                    settled = time.monotonic() + settle_s
        finally:
            consumer.close()
        return found

    def dead_letters(self, *, at_least: int = 0, timeout_s: float = 40) -> list[Message]:
        return self.read(dead_letter(READS), at_least=at_least, timeout_s=timeout_s)

    def committed(self, stage: str = "echo") -> int:
        """Sum of committed offsets of the stage's group."""
        return sum(row.committed or 0 for row in admin.lag(self.settings.kafka, [(stage, READS)]))


def values(messages: Sequence[Message]) -> list[bytes]:
    return [message.value() or b"" for message in messages]


def headers(message: Message) -> dict[str, bytes]:
    return dict(message.headers() or [])
