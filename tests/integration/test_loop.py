"""The whole loop at small size: planted drug and style, samples, reviewers, retraining, shadow, gate, promotion, better findings, rollback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from streams import kafka_local

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-train" / "bin" / "python"

pytestmark = [pytest.mark.timeout(3000), pytest.mark.kafka]


def test_the_loop_goes_the_whole_way(tmp_path: Path) -> None:
    """Every step does what it must (exit 0); the champion is worse on the planted than its successor, the poisoned challenger worse than the champion."""
    lack = kafka_local.missing() or (None if PYTHON.exists() else "no training environment (make training)")
    if lack is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{lack}: in CI nothing may be skipped", pytrace=False)
        pytest.skip(lack)
    out = tmp_path / "loop.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.loop", "--root", str(tmp_path / "loop"), "--out", str(out)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(out.read_text())
    assert found["after"]["new_drug_recall"] > found["before"]["new_drug_recall"]
    assert found["rollback_s"] < 10
    assert any("medication" in reason for reason in found["bad"])
