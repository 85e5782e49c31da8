"""From nothing to ready: how long a worker of each stage takes, and what it takes. Models are loaded and partitions are its own when it is ready.

python -m benchmarks.cold_start [--rounds 3] [--record]

One worker at a time beside an idle real Kafka and Redis; wanted: below five seconds, below 400 MiB. ``cpu_s`` says how much of the time was work.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.chaos.site import STAGES, resident
from benchmarks.steady import processor_s
from ops.processes import stop, wait_ready
from ops.stack import Stack, run_stack

RESULTS = Path(__file__).with_name("results") / "cold_start.json"
_PATIENCE_S = 120.0


def start(stack: Stack, stage: str) -> dict[str, float]:
    """One start: seconds until ``/readyz`` is 200, processor seconds and resident MiB then."""
    begun = time.monotonic()
    child = stack.start_worker(stage)
    if wait_ready([child], timeout_s=_PATIENCE_S):
        raise TimeoutError(f"{stage} was not ready in {_PATIENCE_S:.0f} s")
    seconds = time.monotonic() - begun
    found = {"ready_s": seconds, "cpu_s": processor_s(child.process.pid), "mib": resident(child.process.pid) / 2**20}
    stack.workers.remove(child)
    stop([child])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.name}")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    rows: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory(prefix="wardstream-cold-") as place,
        run_stack(Path(place), "kafka", stages=()) as stack,
    ):
        for stage in STAGES:
            rounds = [start(stack, stage) for _ in range(arguments.rounds)]
            rows[stage] = {name: round(median(row[name] for row in rounds), 2) for name in rounds[0]}
    machine = f"{os.cpu_count()} shared cores, broker and store on the same ones; load {load:.1f} before"
    found = {"day": datetime.now(UTC).date().isoformat(), "machine": machine, "rounds": arguments.rounds, "stages": rows}
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    if arguments.record:
        RESULTS.write_text(
            json.dumps({"command": "python -m benchmarks.cold_start --record", **found}, indent=2) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
