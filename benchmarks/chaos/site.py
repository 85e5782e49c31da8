"""The stack with servers that can be killed and come back, and the hand that does it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from benchmarks.chaos import previous
from benchmarks.chaos.plan import Control, Event, Test
from benchmarks.chaos.servers import Restartable, fill_disk, fill_store, restore_older, slow_store, small_disk, together
from ops.processes import Child, python, start, wait_ready
from ops.stack import Stack, run_stack
from schemas.errors import ConfigurationError
from streams import embedded, kafka_local
from streams.embedded import Server, free_port

STAGES = ("deidentify", "extract", "decide", "publish")
GATEWAY = "gateway"
#: As the runbook has it: who reads a record is upgraded before who writes it, and goes back after.
UPGRADED = (*reversed(STAGES), GATEWAY)
ROLLED_BACK = (GATEWAY, *STAGES)
#: So that a dead worker is noticed within the ten seconds that are asked for.
OVERRIDES = {
    "WARDSTREAM_WORKER__BATCH_SIZE": "32",
    "WARDSTREAM_KAFKA__SESSION_TIMEOUT_S": "6",
    "WARDSTREAM_KAFKA__HEARTBEAT_INTERVAL_S": "1",
    "WARDSTREAM_WORKER__RETRY_PATIENCE_S": "180",
}


#: Debian's libfaketime: the wall clock of a process as a file says, the monotonic one as it is.
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


def missing(test: Test) -> str | None:
    """What keeps this test from running here; ``None`` when nothing does."""
    if test.clock and not FAKETIME.exists():
        return "no libfaketime (apt install libfaketime)"
    if test.clock and shutil.which("cc") is None:
        return "no C compiler (apt install gcc libc6-dev)"
    if test.disk_mib is not None and os.geteuid() != 0:
        return "a small disk needs the right to mount"
    if test.previous:
        try:
            previous.revision()
        except ConfigurationError as error:
            return error.detail
    return None


_SUPERVISOR = (
    "import sys; from agents import worker; from streams.settings import load; sys.exit(worker.supervise(sys.argv[1:], load()))"
)
#: Ends the name of a worker of the version before.
_BEFORE = "before"


class Site:
    """A running stack under faults; ``happened`` says what was done and when (seconds since 1970): a worker's end, a server's return.

    ``before``: environment in which the version before runs, where the test has one. ``growth``: most resident memory of a process of ours as a multiple of what it had when ``steady`` was called, and of which.
    """

    def __init__(
        self,
        stack: Stack,
        brokers: Sequence[Restartable],
        store: Restartable,
        *,
        control: Control,
        seed: int,
        before: dict[str, str] | None = None,
        supervised: bool = False,
    ) -> None:
        self.stack, self._brokers, self._store = stack, brokers, store
        self._control = control
        self._before = before
        self._supervised = supervised
        self._steady: dict[int, int] = {}
        self.growth = 1.0
        self._random = random.Random(seed)
        self._added: list[Child] = []
        self._watching = threading.Event()
        self.happened: list[tuple[str, float]] = []
        self.exit_codes: list[int] = []
        self.most_memory = 0
        self._threads: list[threading.Thread] = []

    def start(self, stage: str, *, before: bool = False) -> Child:
        """One more worker; ``before``: of the version before. Not waited for."""
        if not self._control and not before and not self._supervised:
            return self.stack.start_worker(stage)
        port = free_port()
        arguments = ("-m", "agents.worker", stage) if before else ("-m", "benchmarks.chaos.careless", self._control, stage)
        if self._supervised:
            arguments = ("-c", _SUPERVISOR, stage)
        child = start(
            f"{stage}-{port}-{_BEFORE if before else 'other'}",
            python(*arguments),
            env={**self.stack.env, **(self._before or {} if before else {}), "WARDSTREAM_WORKER__METRICS_PORT": str(port)},
            logs=self.stack.logs,
            ready_url=f"http://127.0.0.1:{port}/readyz",
        )
        self.stack.workers.append(child)
        return child

    def start_gateway(self, *, before: bool) -> None:
        """In place of the one that runs, which is asked to stop first."""
        old = self.stack.gateway
        self._stop(old)
        if not before:
            self.stack.restart(old)
        else:
            env = {**self.stack.env, **(self._before or {})}
            self.stack.gateway = start(
                "gateway-before", python("-m", "ops.cli", "gateway"), env=env, logs=self.stack.logs, ready_url=old.ready_url
            )
        self.stack.wait_ready(120)

    def do(self, event: Event) -> None:
        """One fault; returns when it has happened (a pause runs on in a thread of its own)."""
        of_a_server = event.do.startswith(("broker", "store"))
        name = event.do if of_a_server else f"{event.do} {event.stage}"
        if not of_a_server:
            self.happened.append((name, time.time()))
        match event.do:
            case "kill":
                victim = self._one(event.stage)
                if self._supervised:
                    os.kill(_child_of(victim.process.pid), signal.SIGKILL)
                else:
                    self.stack.kill_worker(victim)
                    self._replace(victim, event.stage)
            case "term":
                self._stop(self._one(event.stage))
                self.start(event.stage)
                self.stack.wait_ready(120)
            case "upgrade" | "downgrade" if event.stage == GATEWAY:
                self.start_gateway(before=event.do == "downgrade")
            case "upgrade" | "downgrade":
                back = event.do == "downgrade"
                self._stop(self._one(event.stage, before=not back))
                self.start(event.stage, before=back)
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
                    self._stop(child)
            case "clock":
                self._jump(event.seconds)
            case "broker-kill" | "broker-one":
                self._random.choice(self._brokers).kill(event.seconds)
            case "broker-full":
                fill_disk(self._brokers[0], event.seconds)
            case "store-kill":
                self._store.kill(event.seconds)
            case "store-stop":
                self._store.kill(event.seconds, number=signal.SIGTERM)
            case "store-full":
                fill_store(self._store, event.seconds)
            case "store-slow":
                slow_store(self._store, event.seconds)
            case "store-old":
                restore_older(self._store, event.seconds)
        if of_a_server:
            self.happened.append((name, time.time()))

    def _jump(self, seconds: float) -> None:
        """The workers' and the gateway's wall clock, forward and back in turn."""
        forward = sum(name.startswith("clock") for name, _ in self.happened) % 2
        _set_clock(self.stack.root, seconds if forward else -seconds)

    def steady(self) -> None:
        """From now on growth counts."""
        self._steady = {child.process.pid: resident(child.process.pid) for child in (self.stack.gateway, *self.stack.workers)}

    def finish(self) -> None:
        """Wait for what still runs."""
        for thread in self._threads:
            thread.join()
        self.unwatch()

    def unwatch(self) -> None:
        """From now on what ends stays ended."""
        self._watching.set()

    def watch(self) -> None:
        """In a thread: start again what ended by itself, as a supervisor does, and remember the most memory of one worker (bytes)."""
        while not self._watching.wait(0.5):
            self._grown(self.stack.gateway)
            for child in list(self.stack.workers):
                if child.running:
                    self.most_memory = max(self.most_memory, resident(child.process.pid))
                    self._grown(child)
                elif child in self.stack.workers and child not in self._handled():
                    self._replace(child, child.name.partition("-")[0], before=child.name.endswith(_BEFORE))

    def _grown(self, child: Child) -> None:
        before = self._steady.get(child.process.pid)
        if before:
            self.growth = max(self.growth, round(resident(child.process.pid) / before, 2))

    def _handled(self) -> list[Child]:
        return self._added

    def _one(self, stage: str, *, before: bool | None = None) -> Child:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            running = [
                child
                for child in self.stack.workers
                if child.name.startswith(stage)
                and child.running
                and child not in self._added
                and (before is None or child.name.endswith(_BEFORE) is before)
            ]
            if running:
                return self._random.choice(running)
            time.sleep(0.1)
        raise RuntimeError(f"no worker of {stage} is running")

    def _stop(self, child: Child) -> None:
        """Asked to end, and waited for. No longer one of the workers from before it ends: ``watch`` starts those again, as they were."""
        if child in self.stack.workers:
            self.stack.workers.remove(child)
        child.process.send_signal(signal.SIGTERM)
        try:
            self.exit_codes.append(child.process.wait(40))
        finally:
            child.process.kill()  # nothing, once it has ended

    def _replace(self, child: Child, stage: str, *, before: bool = False) -> None:
        if child in self.stack.workers:
            self.stack.workers.remove(child)
            self.start(stage, before=before)


def _child_of(pid: int) -> int:
    """The worker of a supervisor, waited for while it is between two."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            return int(children[0])
        time.sleep(0.1)
    raise RuntimeError("the supervisor has no worker")


def resident(pid: int) -> int:
    """Resident bytes of a process; 0 when it is gone."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _waits(root: Path) -> Path:
    """What libfaketime leaves out, built."""
    built = root / "cnd_timedwait.so"
    source = Path(__file__).with_name("cnd_timedwait.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", built, source, "-pthread"], check=True)
    return built


def _set_clock(root: Path, seconds: float) -> None:
    whole = root / "clock.new"
    whole.write_text(f"{seconds:+.0f}s\n")
    whole.rename(root / "clock")


@contextmanager
def site(root: Path, test: Test, *, seed: int) -> Iterator[Site]:
    """Kafka, Redis with an append-only file, the doors and workers as ``test`` wants them. Raises ConfigurationError."""
    root.mkdir(parents=True, exist_ok=True)
    store_port = free_port()
    overrides = dict(OVERRIDES)
    with ExitStack() as opened:
        folder = root / "redis"
        store = Restartable(lambda: embedded.redis_server(folder, port=store_port, append_only=True), folder)
        opened.callback(store.close)
        brokers = _brokers(root, test, opened)
        if len(brokers) > 1:
            overrides |= {"WARDSTREAM_KAFKA__REPLICATION_FACTOR": "3", "WARDSTREAM_KAFKA__MIN_INSYNC_REPLICAS": "2"}
        if not test.seal:
            overrides["WARDSTREAM_SECRETS__SEAL_PAYLOADS"] = "false"
        if test.clock:
            _set_clock(root, 0)
            overrides |= {
                "LD_PRELOAD": f"{_waits(root)}:{FAKETIME}",
                "FAKETIME_TIMESTAMP_FILE": str(root / "clock"),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_DISABLE_SHM": "1",
            }
        first = brokers[0].server
        bootstrap = Server(first.name, ",".join(broker.server.address for broker in brokers), first.pid)
        with run_stack(root, "kafka", stages=(), overrides=overrides, servers=(bootstrap, store.server)) as stack:
            before = previous.export(root / "before") if test.previous else None
            made = Site(stack, brokers, store, control=test.control, seed=seed, before=before, supervised=test.supervised)
            if before is not None:
                made.start_gateway(before=True)
            for stage in STAGES:
                for _ in range(test.workers):
                    made.start(stage, before=test.previous)
            stack.wait_ready(240)
            try:
                yield made
            finally:
                made.unwatch()  # a run that is broken off must not start workers while the others are stopped


def _brokers(root: Path, test: Test, opened: ExitStack) -> list[Restartable]:
    # the clock test moves the producers' clocks: times are then the broker's
    extra = {"log.message.timestamp.type": "LogAppendTime"} if test.clock else {}
    if test.brokers == 1:
        folder = opened.enter_context(small_disk(root / "kafka", test.disk_mib))
        port = free_port()
        found = [Restartable(lambda: kafka_local.kafka(folder, port=port, extra=extra), folder)]
    else:
        cluster, name = kafka_local.nodes(test.brokers), kafka_local.cluster_id(uuid.uuid4())
        rows = [
            (partial(kafka_local.member, folder, node, cluster, name, extra=extra), folder)
            for node in cluster
            if (folder := root / f"kafka-{node.number}")
        ]
        found = together(rows)
    for broker in found:
        opened.callback(broker.close)
    return found
