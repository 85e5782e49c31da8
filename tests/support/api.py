"""``wardstream serve`` as a process of its own, on loopback, with a token."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "token-of-the-api-tests"


class ApiProcess:
    """``settings`` of the section ``api``; ``log`` holds all that the process wrote."""

    def __init__(self, directory: Path, **settings: object) -> None:
        self.log, self.token_file = directory / "api.log", directory / "api.token"
        self.token_file.write_text(TOKEN + "\n")
        rows: dict[str, object] = {"PORT": 0, "TOKEN_FILE": self.token_file, **settings}
        env = {**os.environ, **{f"WARDSTREAM_API__{name}": str(value) for name, value in rows.items()}, "PYTHONPATH": str(ROOT)}
        with self.log.open("ab") as sink:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ops.cli", "serve"], cwd=ROOT, env=env, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL
            )
        self.url = f"http://127.0.0.1:{self._port()}"
        self.client = httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {TOKEN}"}, timeout=120, trust_env=False)

    def _port(self) -> int:
        """From the log, once it listens."""
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self.log.read_text()
            for line in self.log.read_text().splitlines():
                if '"listening"' in line:
                    port: int = json.loads(line)["port"]
                    return port
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def ask(self, path: str, **question: Any) -> dict[str, Any]:
        """The answer to a question in JSON; anything but 200 fails."""
        answer = self.client.post(path, json=question)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def stop(self) -> int:
        """Exit code after SIGTERM."""
        self.client.close()
        self._process.terminate()
        return self._process.wait(60)
