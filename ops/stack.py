"""The whole system on this machine: broker, store, gateway, a process per stage, and a small HL7 receiver for the ORU^R01.

``with Stack.start(...) as stack`` gives running doors; everything that was started is stopped at the end of the block.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from agents.pipeline import PIPELINE
from ops.commands.keys import write_secret
from ops.operators import account
from ops.posting import Doors
from ops.processes import Child, python, start, stop, wait_ready
from ops.receiver import Receiver
from schemas.errors import ConfigurationError
from streams import admin, embedded, kafka_local
from streams.embedded import free_port
from streams.key_encryption.file import master_key
from streams.keyring import keyring_store
from streams.settings import Settings, load

Broker = Literal["embedded", "kafka"]
Progress = Callable[[str], None]
READY_TIMEOUT_S = 90.0
#: All that needs no server of the site's own.
STAGES = tuple(
    row.stage
    for row in PIPELINE
    if row.stage not in {"deliver_fhir", "cards", "merge_cards", "feedback_cards", "notify", "notify_results"}
)


@dataclass(slots=True)
class Stack:
    """``settings`` are those of every process here; ``env`` the same as environment variables, for clients in other processes."""

    settings: Settings
    env: dict[str, str]
    doors: Doors
    receiver: Receiver
    broker: embedded.Server
    redis: embedded.Server
    root: Path
    gateway: Child
    workers: list[Child] = field(default_factory=list)
    _started: int = 0

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def start_worker(self, stage: str) -> Child:
        """One more process of ``stage``; not waited for."""
        self._started += 1
        port = free_port()
        child = start(
            f"{stage}-{self._started}",
            python("-m", "agents.worker", stage),
            env={**self.env, "WARDSTREAM_WORKER__METRICS_PORT": str(port)},
            logs=self.logs,
            ready_url=f"http://127.0.0.1:{port}/readyz",
        )
        self.workers.append(child)
        return child

    def restart(self, child: Child) -> Child:
        """A new process in place of one that ended; not waited for."""
        if child is self.gateway:
            self.gateway = _gateway(self.env, self.root, self.doors)
            return self.gateway
        self.workers.remove(child)
        return self.start_worker(child.name.rpartition("-")[0])

    def stop_workers(self) -> None:
        """SIGTERM to every worker; they finish what they hold and commit."""
        stop(self.workers)
        self.workers.clear()

    def kill_worker(self, child: Child) -> None:
        """SIGKILL, as the out-of-memory killer would."""
        os.kill(child.process.pid, signal.SIGKILL)
        child.process.wait()

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Raises ConfigurationError when a process ended or is not ready in time."""
        running = [child for child in (self.gateway, *self.workers) if child.running]
        late = wait_ready(running, timeout_s=timeout_s)
        if late:
            names = ", ".join(child.name for child in late)
            raise ConfigurationError(path=names, detail=f"not ready in {timeout_s:.0f} s, see {self.logs}")


@contextmanager
def run_stack(
    root: Path,
    broker: Broker = "embedded",
    *,
    stages: Sequence[str] = STAGES,
    workers: int = 1,
    progress: Progress = lambda _: None,
    overrides: dict[str, str] | None = None,
    servers: tuple[embedded.Server, embedded.Server] | None = None,
    ready_s: float = READY_TIMEOUT_S,
) -> Iterator[Stack]:
    """Start everything under ``root`` (keys, logs, broker data), wait until all of it is ready, stop it at the end.

    Args:
        workers: processes per stage.
        overrides: more ``WARDSTREAM_*`` variables.
        servers: a broker and a store that run already, and are left running.
        ready_s: how long everything may take to be ready.
    """
    root.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        server, redis = servers or _servers(root, broker, opened, progress)
        receiver = opened.enter_context(Receiver.listening())
        doors = Doors("127.0.0.1", free_port(), f"http://127.0.0.1:{(http_port := free_port())}", _secret(root, "http.token"))
        _secret(root, "master.key")
        env = {
            "WARDSTREAM_KAFKA__BOOTSTRAP": server.address,
            "WARDSTREAM_REDIS__URL": f"redis://{redis.address}/0",
            "WARDSTREAM_SECRETS__MASTER_KEY_FILE": str(root / "secrets" / "master.key"),
            "WARDSTREAM_GATEWAY__MLLP_PORT": str(doors.mllp_port),
            "WARDSTREAM_GATEWAY__HTTP_PORT": str(http_port),
            "WARDSTREAM_GATEWAY__HTTP_TOKEN_FILE": str(root / "secrets" / "http.token"),
            "WARDSTREAM_PUBLISH__RECEIVER": f"127.0.0.1:{receiver.port}",
            **{
                f"WARDSTREAM_OPERATORS__{role}": json.dumps([account()])
                for role in ("REIDENTIFY", "DECRYPT", "ERASE", "REDRIVE", "READ_LETTERS")
            },
            # one calling thread per process: the stages share this machine's cores
            "OMP_NUM_THREADS": "1",
            **(overrides or {}),
        }
        settings = settings_of(env)
        asyncio.run(make_keyring(settings))
        progress("topics")
        admin.apply(settings.kafka)
        progress("gateway and workers")
        gateway = _gateway(env, root, doors)
        stack = Stack(settings, env, doors, receiver, server, redis, root, gateway)
        opened.callback(lambda: stop([stack.gateway, *stack.workers]))
        for stage in stages:
            for _ in range(workers):
                stack.start_worker(stage)
        progress("ready?")
        stack.wait_ready(ready_s)
        yield stack


def _servers(root: Path, broker: Broker, opened: ExitStack, progress: Progress) -> tuple[embedded.Server, embedded.Server]:
    progress("store")
    redis = opened.enter_context(embedded.redis_server(root / "redis"))
    progress("broker")
    if broker == "kafka":
        return opened.enter_context(kafka_local.kafka(root / "kafka")), redis
    return opened.enter_context(embedded.broker(root / "broker")), redis


def _gateway(env: dict[str, str], root: Path, doors: Doors) -> Child:
    arguments = python("-m", "ops.cli", "gateway")
    return start("gateway", arguments, env=env, logs=root / "logs", ready_url=f"{doors.http_url}/readyz")


def settings_of(env: dict[str, str]) -> Settings:
    """The settings that a process with these variables would load."""
    before = dict(os.environ)
    os.environ.update(env)
    try:
        return load()
    finally:
        os.environ.clear()
        os.environ.update(before)


async def make_keyring(settings: Settings) -> None:
    """As ``wardstream keys init``, for a store that is new."""
    keyring = keyring_store(settings)
    try:
        await keyring.create()
    finally:
        await keyring.close()


def _secret(root: Path, name: str) -> str:
    path = root / "secrets" / name
    if not path.exists():
        write_secret(path, master_key())
    return path.read_text().strip()
