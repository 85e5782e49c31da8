"""Several stages side by side: restarts, an end that is asked for, an end that must not be repeated."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agents import worker
from agents.pipeline import PIPELINE
from schemas.errors import ConfigurationError
from streams.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (
    "import sys; from agents import worker; from streams.settings import load; sys.exit(worker.supervise(sys.argv[1:], load()))"
)


@contextmanager
def supervisor(tmp_path: Path, *stages: str, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    log = tmp_path / "supervisor.log"
    settings = {"WARDSTREAM_KAFKA__BOOTSTRAP": "127.0.0.1:1", "WARDSTREAM_WORKER__RETRY_PATIENCE_S": "0.2", **environment}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *stages],
            cwd=ROOT,
            env={**os.environ, **settings, "PYTHONPATH": str(ROOT)},
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process, log
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def events(log: Path, name: str) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [row for row in rows if row["event"] == name]


def wait_for(log: Path, name: str, count: int) -> list[dict[str, object]]:
    deadline = time.monotonic() + 60
    while len(found := events(log, name)) < count:
        assert time.monotonic() < deadline, f"{name} was not seen {count} times"
        time.sleep(0.1)
    return found


def test_a_worker_that_ends_is_started_again_with_growing_delay(tmp_path: Path) -> None:
    """Broker out of reach: exit 75, restart, and so on; SIGTERM ends the supervisor and its children."""
    with supervisor(tmp_path, "extract") as (process, log):
        ends = wait_for(log, "worker_ended", 2)
        assert [row["exit_code"] for row in ends[:2]] == [75, 75]
        assert ends[0]["delay_s"] == 0.5
        assert ends[1]["delay_s"] == 1.0
        pids = [int(str(row["pid"])) for row in wait_for(log, "worker_started", 3)]
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_configuration_error_is_not_repeated(tmp_path: Path) -> None:
    """One child that cannot be configured ends everything with 78."""
    with supervisor(tmp_path, "extract", WARDSTREAM_KAFKA__SECURITY_PROTOCOL="SASL_SSL") as (process, log):
        assert process.wait(60) == 78
    assert len(events(log, "worker_started")) == 1


def test_a_stage_that_does_not_exist_is_refused() -> None:
    """By name, before anything is imported."""
    with pytest.raises(ConfigurationError):
        worker.build("os", Settings())


@pytest.mark.parametrize("stage", [row.stage for row in PIPELINE])
def test_every_row_of_the_pipeline_builds_a_stage_of_its_name(stage: str) -> None:
    """Building loads and connects nothing; the stage's name is its group, its label and its source."""
    assert worker.build(stage, Settings()).name == stage
