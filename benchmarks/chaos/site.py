"""The stack with servers that can be killed and come back, and the hand that does it."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmarks.chaos.plan import Event
from ops.processes import Child, python, start, wait_ready
from ops.stack import Stack, run_stack
from streams import embedded, kafka_local
from streams.embedded import Server, free_port

STAGES = ("deidentify", "extract", "decide", "publish")
#: So that a dead worker is noticed within the ten seconds that are asked for.
OVERRIDES = {
    "WARDSTREAM_WORKER__BATCH_SIZE": "32",
    "WARDSTREAM_KAFKA__SESSION_TIMEOUT_S": "6",
    "WARDSTREAM_KAFKA__HEARTBEAT_INTERVAL_S": "1",
    "WARDSTREAM_WORKER__RETRY_PATIENCE_S": "180",
}


class Restartable:
    """A server on a folder and a port of its own; killed and started again it holds what it had stored."""

    def __init__(self, make: Callable[[], AbstractContextManager[Server]]) -> None:
        self._make = make
        self._open = make()
        self.server = self._open.__enter__()

    def kill(self, seconds: float) -> None:
        """SIGKILL, and again after ``seconds``."""
        os.kill(self.server.pid, signal.SIGKILL)
        self._open.__exit__(None, None, None)
        time.sleep(seconds)
        self._open = self._make()
        self.server = self._open.__enter__()

    def close(self) -> None:
        self._open.__exit__(None, None, None)


class Site:
    """A running stack under faults; ``happened`` says what was done and when (seconds since 1970): a worker's end, a server's return."""

    def __init__(self, stack: Stack, broker: Restartable, store: Restartable, *, careless: bool, seed: int) -> None:
        self.stack, self._broker, self._store = stack, broker, store
        self._careless = careless
        self._random = random.Random(seed)
        self._added: list[Child] = []
        self._watching = threading.Event()
        self.happened: list[tuple[str, float]] = []
        self.exit_codes: list[int] = []
        self.most_memory = 0
        self._threads: list[threading.Thread] = []

    def start(self, stage: str) -> Child:
        if not self._careless:
            return self.stack.start_worker(stage)
        port = free_port()
        child = start(
            f"{stage}-{len(self.stack.workers)}-careless",
            python("-m", "benchmarks.chaos.careless", stage),
            env={**self.stack.env, "WARDSTREAM_WORKER__METRICS_PORT": str(port)},
            logs=self.stack.logs,
            ready_url=f"http://127.0.0.1:{port}/readyz",
        )
        self.stack.workers.append(child)
        return child

    def do(self, event: Event) -> None:
        """One fault; returns when it has happened (a pause runs on in a thread of its own)."""
        name = f"{event.do} {event.stage}" if event.do not in ("broker-kill", "store-kill") else event.do
        if event.do not in ("broker-kill", "store-kill"):
            self.happened.append((name, time.time()))
        match event.do:
            case "kill":
                victim = self._one(event.stage)
                self.stack.kill_worker(victim)
                self._replace(victim, event.stage)
            case "term":
                victim = self._one(event.stage)
                victim.process.send_signal(signal.SIGTERM)
                self.exit_codes.append(victim.process.wait(40))
                self._replace(victim, event.stage)
                self.stack.wait_ready(120)
            case "pause":
                victim = self._one(event.stage)
                os.kill(victim.process.pid, signal.SIGSTOP)
                thread = threading.Timer(event.seconds, os.kill, (victim.process.pid, signal.SIGCONT))
                thread.start()
                self._threads.append(thread)
            case "add":
                self._added.append(self.start(event.stage))
            case "remove":
                if self._added:
                    child = self._added.pop(0)
                    wait_ready([child], timeout_s=60)
                    child.process.send_signal(signal.SIGTERM)
                    self.exit_codes.append(child.process.wait(40))
                    self.stack.workers.remove(child)
            case "broker-kill":
                self._broker.kill(event.seconds)
                self.happened.append((name, time.time()))
            case "store-kill":
                self._store.kill(event.seconds)
                self.happened.append((name, time.time()))

    def finish(self) -> None:
        """Wait for what still runs."""
        for thread in self._threads:
            thread.join()
        self._watching.set()

    def watch(self) -> None:
        """In a thread: start again what ended by itself, as a supervisor does, and remember the most memory of one worker (bytes)."""
        while not self._watching.wait(0.5):
            for child in list(self.stack.workers):
                if child.running:
                    self.most_memory = max(self.most_memory, resident(child.process.pid))
                elif child in self.stack.workers and child not in self._handled():
                    self._replace(child, child.name.partition("-")[0])

    def _handled(self) -> list[Child]:
        return self._added

    def _one(self, stage: str) -> Child:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            running = [
                child
                for child in self.stack.workers
                if child.name.startswith(stage) and child.running and child not in self._added
            ]
            if running:
                return self._random.choice(running)
            time.sleep(0.1)
        raise RuntimeError(f"no worker of {stage} is running")

    def _replace(self, child: Child, stage: str) -> None:
        if child in self.stack.workers:
            self.stack.workers.remove(child)
            self.start(stage)


def resident(pid: int) -> int:
    """Resident bytes of a process; 0 when it is gone."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def site(root: Path, *, workers: int, careless: bool, seed: int) -> Iterator[Site]:
    """Kafka, Redis with an append-only file, the doors and ``workers`` of each stage."""
    root.mkdir(parents=True, exist_ok=True)
    ports = free_port(), free_port()
    store = Restartable(lambda: embedded.redis_server(root / "redis", port=ports[1], append_only=True))
    try:
        broker = Restartable(lambda: kafka_local.kafka(root / "kafka", port=ports[0]))
        try:
            with run_stack(root, "kafka", stages=(), overrides=OVERRIDES, servers=(broker.server, store.server)) as stack:
                made = Site(stack, broker, store, careless=careless, seed=seed)
                for stage in STAGES:
                    for _ in range(workers):
                        made.start(stage)
                stack.wait_ready(240)
                yield made
        finally:
            broker.close()
    finally:
        store.close()
