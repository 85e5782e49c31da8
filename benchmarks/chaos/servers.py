"""Servers that are killed, stopped, slowed and filled up, and come back."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import redis

from schemas.errors import ConfigurationError
from streams.embedded import Server


class Restartable:
    """A server on a folder and a port of its own; killed and started again it holds what it had stored."""

    def __init__(self, make: Callable[[], AbstractContextManager[Server]], folder: Path) -> None:
        self._make = make
        self.folder = folder
        self._open = make()
        self.server = self._open.__enter__()

    def kill(self, seconds: float, *, number: int = signal.SIGKILL, before: Callable[[], None] = lambda: None) -> None:
        """End it, and start it again after ``seconds`` and ``before``."""
        with suppress(ProcessLookupError):
            os.kill(self.server.pid, number)
        self._open.__exit__(None, None, None)
        time.sleep(seconds)
        before()
        self._open = self._make()
        self.server = self._open.__enter__()

    def close(self) -> None:
        self._open.__exit__(None, None, None)


def together(makes: list[tuple[Callable[[], AbstractContextManager[Server]], Path]]) -> list[Restartable]:
    """Started side by side: members of a cluster wait for each other."""
    with ThreadPoolExecutor(len(makes)) as pool:
        return list(pool.map(lambda row: Restartable(*row), makes))


@contextmanager
def small_disk(folder: Path, mib: int | None) -> Iterator[Path]:
    """``folder`` as a file system of its own in memory with so much room. Raises ConfigurationError where mounting is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    if mib is None:
        yield folder
        return
    answer = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if answer.returncode:
        raise ConfigurationError(path="mount", detail="a small disk needs the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def fill_disk(broker: Restartable, seconds: float) -> None:
    """No room is left beside the broker's log for ``seconds``; then there is, and the broker, which ends when it cannot write, is started again."""
    filler = broker.folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as sink:
        while True:
            sink.write(bytes(65_536))
    time.sleep(seconds)
    broker.kill(0, before=lambda: filler.unlink())


def restore_older(store: Restartable, seconds: float) -> None:
    """Redis comes back from its append-only file as it was ``seconds`` ago."""
    with tempfile_beside(store.folder) as kept:
        for path in store.folder.glob("appendonly*"):
            _copy(path, kept / path.name)
        time.sleep(seconds)

        def older() -> None:
            for path in store.folder.glob("appendonly*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            for path in kept.iterdir():
                _copy(path, store.folder / path.name)

        store.kill(0, before=older)


@contextmanager
def tempfile_beside(folder: Path) -> Iterator[Path]:
    kept = folder.with_name(f"{folder.name}-older")
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir()
    yield kept
    shutil.rmtree(kept)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)


def fill_store(store: Restartable, seconds: float) -> None:
    """Redis refuses every write for ``seconds`` (``noeviction`` and less memory than it has)."""
    with _client(store) as client:
        client.config_set("maxmemory", 1)
        time.sleep(seconds)
        client.config_set("maxmemory", 0)


def slow_store(store: Restartable, seconds: float) -> None:
    """Redis answers nobody for ``seconds``."""
    with _client(store) as client:
        client.client_pause(round(seconds * 1000))
    time.sleep(seconds)


def _client(store: Restartable) -> redis.Redis:
    host, _, port = store.server.address.rpartition(":")
    return redis.Redis(host=host, port=int(port), socket_timeout=30)
