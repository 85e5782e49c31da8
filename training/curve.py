"""What a finished training run left beside its checkpoint: its curve, and the machine that it ran on. No torch here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CURVE = "curve.jsonl"
MACHINE = "machine.json"


def machine_of(folder: Path) -> dict[str, Any]:
    """What a finished run was made on; empty where it was not recorded."""
    path = folder / MACHINE
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def curve_of(folder: Path) -> list[dict[str, float]]:
    """The recorded curve of a finished run: step, smoothed loss, last loss, rate, seconds."""
    return [json.loads(line) for line in (folder / CURVE).read_text(encoding="utf-8").splitlines()]
