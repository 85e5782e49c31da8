"""Composes: a row of the pipeline table becomes a running worker. One stage a process; several are supervised side by side.

``python -m agents.worker STAGE`` runs one stage and ends with an exit code of ``streams.runner``.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType

import structlog

from agents.pipeline import BY_STAGE
from schemas.errors import ConfigurationError, WardstreamError
from streams import logs, membership, runner
from streams.faust_app import group_id
from streams.settings import Kafka, Settings, load
from streams.stage import Stage

#: A worker that was asked to stop and is still there after this long is killed: a broker that is down can hold one for good.
KILL_AFTER_S = 30.0
_FIRST_RESTART_S = 0.5
_LONGEST_RESTART_S = 30.0
#: A worker that ran this long was well; its next failure starts the back-off anew.
_WELL_AFTER_S = 60.0
_STOPPING = frozenset({runner.EX_NOPERM, runner.EX_CONFIG})

_MODULES = {
    "feedback": "agents.second_check",
    "feedback_cards": "agents.feedback.cards_agent",
    "merge": "agents.decide.merge_agent",
    "deliver": "agents.publish.deliver_agent",
    "deliver_fhir": "agents.publish.deliver_fhir_agent",
    "cards": "agents.publish.cards_agent",
    "merge_cards": "agents.publish.merge_cards_agent",
    "notify": "agents.publish.notify_agent",
    "notify_results": "agents.publish.notify_results_agent",
    "watch": "agents.feedback.watch_agent",
}


def build(stage_name: str, settings: Settings) -> Stage:
    """The stage of that name; its module is imported only now, so that a worker holds one stage's libraries.

    Raises:
        ConfigurationError: there is no such stage.
    """
    if stage_name not in BY_STAGE:
        raise ConfigurationError(path="stage", detail="no such stage")
    module = importlib.import_module(_MODULES.get(stage_name, f"agents.{stage_name}.agent"))
    stage: Stage = module.build(settings)
    return stage


def run(stage_name: str, settings: Settings) -> int:
    """Run one stage in this process until SIGTERM; returns the exit code (see ``streams.runner``)."""
    log = logs.configure(settings.worker.log_format, settings.worker.log_level)
    try:
        stage = build(stage_name, settings)
    except WardstreamError as error:
        code = runner.exit_code(error)
        log.critical("ended", stage=stage_name, exit_code=code, reason=error.reason.value, path=error.path)
        return code
    return runner.run(stage, BY_STAGE[stage_name].reads, settings)


@dataclass(slots=True)
class _Slot:
    stage: str
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    restart_at: float = 0.0
    delay: float = _FIRST_RESTART_S


def supervise(
    stages: Sequence[str], settings: Settings, *, clock: Callable[[], float] = time.monotonic, pause_s: float = 0.1
) -> int:
    """One child process per entry of ``stages`` (an entry given twice makes two workers), restarted with back-off.

    Ends on SIGTERM or SIGINT: children are asked, then killed after ``KILL_AFTER_S``. A child that ends with a privacy
    violation or a configuration error ends everything, with its exit code; a restart would only repeat it. With a fixed
    metrics port the n-th child listens on port + n.
    """
    log = logs.configure(settings.worker.log_format, settings.worker.log_level)
    stop = threading.Event()

    def asked(number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, asked) for number in (signal.SIGTERM, signal.SIGINT)}
    slots = [_Slot(stage, _environment(settings, index)) for index, stage in enumerate(stages)]
    code = runner.EX_OK
    try:
        while not stop.is_set():
            for slot in slots:
                ended = _tend(slot, clock(), settings.kafka, log)
                if ended in _STOPPING:
                    code = ended or code
                    stop.set()
            stop.wait(pause_s)
    finally:
        _end(slots, clock, log)
        for number, handler in before.items():
            signal.signal(number, handler)
    return code


def _environment(settings: Settings, index: int) -> dict[str, str]:
    port = settings.worker.metrics_port
    return {"WARDSTREAM_WORKER__METRICS_PORT": str(port + index)} if port else {}


def _expel(stage: str, pid: int, kafka: Kafka, log: structlog.typing.FilteringBoundLogger) -> None:
    """Its partitions need not wait for the end of its session. Where the broker cannot be asked, they do."""
    group = group_id(kafka, stage)
    with contextlib.suppress(WardstreamError):
        if asyncio.run(membership.expel(kafka, group, membership.member_name(group, pid))):
            log.info("worker_expelled", stage=stage, pid=pid, group=group)


def _tend(slot: _Slot, now: float, kafka: Kafka, log: structlog.typing.FilteringBoundLogger) -> int | None:
    """Start what is due; returns the exit code of a child that has just ended."""
    if slot.process is None:
        if now >= slot.restart_at:
            slot.process = subprocess.Popen(
                [sys.executable, "-m", "agents.worker", slot.stage],
                env={**os.environ, **slot.environment},
                stdin=subprocess.DEVNULL,
            )
            slot.started = now
            log.info("worker_started", stage=slot.stage, pid=slot.process.pid)
        return None
    code = slot.process.poll()
    if code is None:
        return None
    if now - slot.started > _WELL_AFTER_S:
        slot.delay = _FIRST_RESTART_S
    if code != runner.EX_OK:
        threading.Thread(target=_expel, args=(slot.stage, slot.process.pid, kafka, log), daemon=True).start()
    log.warning("worker_ended", stage=slot.stage, pid=slot.process.pid, exit_code=code, delay_s=slot.delay)
    slot.process, slot.restart_at = None, now + slot.delay
    slot.delay = min(_LONGEST_RESTART_S, 2 * slot.delay)
    return code


def _end(slots: Sequence[_Slot], clock: Callable[[], float], log: structlog.typing.FilteringBoundLogger) -> None:
    running = [slot for slot in slots if slot.process is not None and slot.process.poll() is None]
    for slot in running:
        assert slot.process is not None
        slot.process.terminate()
    deadline = clock() + KILL_AFTER_S
    for slot in running:
        assert slot.process is not None
        try:
            slot.process.wait(max(0.1, deadline - clock()))
        except subprocess.TimeoutExpired:
            log.error("worker_killed", stage=slot.stage, pid=slot.process.pid)
            slot.process.kill()
            slot.process.wait()


def main(arguments: Sequence[str]) -> int:
    """Entry of a child process."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m agents.worker STAGE\n")
        return runner.EX_CONFIG
    try:
        settings = load()
    except ConfigurationError as error:
        logs.configure().critical("ended", exit_code=runner.EX_CONFIG, setting=error.path, detail=error.detail)
        return runner.EX_CONFIG
    return run(arguments[0], settings)


if __name__ == "__main__":
    runner.exit_process(main(sys.argv[1:]))
