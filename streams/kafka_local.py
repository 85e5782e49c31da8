"""A real Apache Kafka (KRaft, one node or several) on loopback from the jars of ``deploy/kafka``.

For tests, benchmarks and ``make demo BROKER=kafka``. Needs Java 17 or newer on the PATH and ``make kafka-jars``.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import ConfigurationError
from streams.embedded import READY_S, Server, answers_kafka, child, free_port

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
    alone = Node(1, port or free_port(), free_port())
    internal = {
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
    }
    with _broker(directory, alone, (alone,), cluster_id(uuid.uuid4()), internal | dict(extra or {})) as server:
        yield server


@dataclass(frozen=True, slots=True)
class Node:
    """One broker and controller of a cluster, by its ports on loopback."""

    number: int
    port: int
    controller: int


def nodes(count: int) -> tuple[Node, ...]:
    return tuple(Node(number, free_port(), free_port()) for number in range(1, count + 1))


@contextmanager
def member(
    directory: Path, node: Node, cluster: Sequence[Node], name: str, *, extra: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run one of at least three brokers, whose internal topics have three copies of which two must be in step. It is ready only when most of the
    cluster is, so start them side by side.

    Args:
        name: id of the cluster (``cluster_id``), the same for all its members.

    Raises:
        ConfigurationError: as ``kafka``.
    """
    internal = {
        "offsets.topic.replication.factor": "3",
        "transaction.state.log.replication.factor": "3",
        "transaction.state.log.min.isr": "2",
        "share.coordinator.state.topic.replication.factor": "3",
        "share.coordinator.state.topic.min.isr": "2",
    }
    with _broker(directory, node, cluster, name, internal | dict(extra or {})) as server:
        yield server


@contextmanager
def _broker(directory: Path, node: Node, cluster: Sequence[Node], name: str, extra: Mapping[str, str]) -> Iterator[Server]:
    if (lack := missing()) is not None:
        raise ConfigurationError(path="deploy/kafka", detail=lack)
    directory.mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{node.port}"
    properties = directory / "server.properties"
    rows = {
        "process.roles": "broker,controller",
        "node.id": str(node.number),
        "controller.quorum.voters": ",".join(f"{one.number}@127.0.0.1:{one.controller}" for one in cluster),
        "listeners": f"PLAINTEXT://{address},CONTROLLER://127.0.0.1:{node.controller}",
        "advertised.listeners": f"PLAINTEXT://{address}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str((directory / "data").resolve()),
        "auto.create.topics.enable": "false",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
        **extra,
    }
    properties.write_text("".join(f"{name}={value}\n" for name, value in rows.items()))
    java = ["java", *_JAVA, "-cp", f"{LIBS}/*"]
    if not (directory / "data" / "meta.properties").exists():
        arguments = [*java, "kafka.tools.StorageTool", "format", "-t", name, "-c", properties.name]
        answer = subprocess.run(arguments, cwd=directory, capture_output=True, check=False)
        if answer.returncode:
            raise ConfigurationError(path="deploy/kafka", detail="the storage could not be formatted")
    started = [*java, "kafka.Kafka", properties.name]
    patience_s = 2 * READY_S * len(cluster)  # a Java machine on busy cores takes its time
    with child("kafka", started, address, directory, lambda: answers_kafka(address), patience_s=patience_s) as server:
        yield server
