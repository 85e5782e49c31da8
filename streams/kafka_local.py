"""A real Apache Kafka (KRaft, one node) on loopback from the jars of ``deploy/kafka``.

For tests, benchmarks and ``make demo BROKER=kafka``. Needs Java 17 or newer on the PATH and ``make kafka-jars``.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import ConfigurationError
from streams.embedded import Server, answers_kafka, child, free_port

LIBS = Path(__file__).resolve().parent.parent / "deploy" / "kafka" / "libs"

#: C1 only and a serial collector: boots in under three seconds and stays small. Not what a production broker wants.
_JAVA = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m")


def missing() -> str | None:
    """What keeps Kafka from starting here, for people; ``None`` when nothing does."""
    if shutil.which("java") is None:
        return "no java on the PATH"
    if not any(LIBS.glob("kafka_2.13-*.jar")):
        return "no jars in deploy/kafka/libs (make kafka-jars)"
    return None


def cluster_id(number: uuid.UUID) -> str:
    """As Kafka writes one, and never with a hyphen in front: the formatting tool would take it for an option (one id in 64)."""
    first, *rest = number.bytes
    return base64.urlsafe_b64encode(bytes((first & 0x7F, *rest))).rstrip(b"=").decode()


@contextmanager
def kafka(directory: Path, *, port: int | None = None, extra: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run a broker until the block ends. On a directory that it has used before, its topics and offsets are still there.

    Args:
        extra: broker properties that override the ones here.

    Raises:
        ConfigurationError: Java or the jars are missing, or the broker does not come up.
    """
    if (lack := missing()) is not None:
        raise ConfigurationError(path="deploy/kafka", detail=lack)
    directory.mkdir(parents=True, exist_ok=True)
    address, controller = f"127.0.0.1:{port or free_port()}", f"127.0.0.1:{free_port()}"
    properties = directory / "server.properties"
    rows = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{controller}",
        "listeners": f"PLAINTEXT://{address},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{address}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str((directory / "data").resolve()),
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        **(extra or {}),
    }
    properties.write_text("".join(f"{name}={value}\n" for name, value in rows.items()))
    java = ["java", *_JAVA, "-cp", f"{LIBS}/*"]
    if not (directory / "data" / "meta.properties").exists():
        arguments = [*java, "kafka.tools.StorageTool", "format", "-t", cluster_id(uuid.uuid4()), "-c", properties.name]
        answer = subprocess.run(arguments, cwd=directory, capture_output=True, check=False)
        if answer.returncode:
            raise ConfigurationError(path="deploy/kafka", detail="the storage could not be formatted")
    with child("kafka", [*java, "kafka.Kafka", properties.name], address, directory, lambda: answers_kafka(address)) as server:
        yield server
