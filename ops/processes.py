"""Child processes of the local stack: own log file each, waited for until ready, stopped by pid and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from schemas.errors import ConfigurationError


@dataclass(slots=True)
class Child:
    """One running process; ``ready_url`` answers 200 when it serves."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    ready_url: str | None = None

    @property
    def running(self) -> bool:
        return self.process.poll() is None


def start(name: str, arguments: Sequence[str], *, env: Mapping[str, str], logs: Path, ready_url: str | None = None) -> Child:
    """Run ``python -m`` or another program given as a full argument list; output goes to ``logs/<name>.log``."""
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{name}.log"
    with log.open("ab") as sink:
        process = subprocess.Popen(
            list(arguments), env={**os.environ, **env}, stdout=sink, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
    return Child(name, process, log, ready_url)


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def wait_ready(children: Sequence[Child], *, timeout_s: float) -> list[Child]:
    """Wait until every child answers 200 on its ready URL; returns those that did not in time.

    Raises:
        ConfigurationError: a child ended before it was ready; its log tells why.
    """
    waiting = [child for child in children if child.ready_url]
    deadline = time.monotonic() + timeout_s
    with httpx.Client(timeout=1.0, trust_env=False) as client:
        while waiting and time.monotonic() < deadline:
            for child in list(waiting):
                if not child.running:
                    raise ConfigurationError(path=child.name, detail=f"ended at start, see {child.log}")
                try:
                    if client.get(str(child.ready_url)).status_code == httpx.codes.OK:
                        waiting.remove(child)
                except httpx.HTTPError:
                    continue
            time.sleep(0.1)
    return waiting


def stop(children: Sequence[Child], *, timeout_s: float = 20) -> None:
    """SIGTERM to all, then SIGKILL to those that are still there after ``timeout_s``."""
    for child in children:
        if child.running:
            child.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    for child in children:
        try:
            child.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
