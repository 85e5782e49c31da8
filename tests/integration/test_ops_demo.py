"""The demo as a user calls it, on the embedded broker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_demo_shows_every_stage_and_ends_well(tmp_path: Path) -> None:
    """Exit code 0, every stage in the table, flags found, the refused and the damaged message told, no name in the logs."""
    command = [sys.executable, "-m", "ops.cli", "demo", "--root", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=380)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    for word in ("deidentify", "extract", "decide", "publish", "deliver", "feedback", "labs.critical", "AR", "malformed_hl7"):
        assert word in done.stdout
    logs = "".join(path.read_text() for path in (tmp_path / "logs").glob("*.log"))
    assert logs
    assert not any(value in logs for value in ("Thornquist", "70023118", "Delacroix", "Abernathy"))
    assert "Traceback" not in logs
