"""The version before, as it was committed: what a rolling upgrade begins with.

The newest release tag before this commit; without tags, the commit before the last one that changed a published record (``schemas/jsonschema``), so
that old and new write different shapes.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

from schemas.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]


def _git(*arguments: str) -> bytes:
    """Raises ConfigurationError where there is no git, no repository, or not what was asked for."""
    try:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        raise ConfigurationError(path="git", detail="no history of the version before") from None


def revision() -> str:
    """The commit of the version before. Raises ConfigurationError: a copy without history, or a shallow one."""
    try:
        return _git("describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "HEAD^").decode().strip()
    except ConfigurationError:
        changed = _git("log", "-1", "--format=%H", "--no-merges", "--", "schemas/jsonschema/*.json").decode().strip()
        return _git("rev-parse", "--verify", "--short", f"{changed or 'HEAD'}^").decode().strip()


def export(folder: Path) -> dict[str, str]:
    """Put the version before into ``folder``; returns the environment in which ``python -m`` runs it. Raises ConfigurationError."""
    with tarfile.open(fileobj=io.BytesIO(_git("archive", revision()))) as archive:
        archive.extractall(folder, filter="data")
    # safe path: not the working directory, which has today's packages
    return {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}


def runs_there(environment: dict[str, str]) -> Path:
    """Where a process under ``environment`` takes the stages from."""
    command = [sys.executable, "-c", "import agents.worker; print(agents.worker.__file__)"]
    found = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, check=True, text=True)
    return Path(found.stdout.strip())
