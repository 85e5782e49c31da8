"""How long an explanation takes over HTTP: ``python -m benchmarks.explain_api [--requests N] [--record]``.

``wardstream serve`` as a process of its own on loopback, one request at a time, on the progress note of the samples as bare text: what it costs to annotate it, to tell
which words each of its entities rests on (leave-one-out over the sentence), and to tell a flag with and without the model's sentence. Milliseconds at the client, de-identification and extraction
of the whole note included, since every request stands alone. On a machine that others use too the CPU time of the server says more than the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

from ops.collector import percentile
from tests.support.api import ApiProcess

RESULTS = Path(__file__).with_name("results") / "explain_api.json"
SAMPLE = Path(__file__).parents[1] / "ops" / "samples" / "mllp" / "04-progress-note.hl7"


def note() -> str:
    """The text of the sample's OBX segments."""
    segments = SAMPLE.read_text("utf-8").splitlines()
    return "\n".join(row.split("|")[5] for row in segments if row.startswith("OBX|") and row.split("|")[2] in ("TX", "FT", "ST"))


def cpu_seconds(api: ApiProcess) -> float:
    text = api.client.get("/metrics").text
    return float(next(line for line in text.splitlines() if line.startswith("process_cpu_seconds_total ")).split()[1])


def timed(api: ApiProcess, work: Callable[[], object], count: int) -> dict[str, float]:
    took = []
    cpu = cpu_seconds(api)
    for _ in range(count):
        begun = time.perf_counter()
        work()
        took.append((time.perf_counter() - begun) * 1000)
    used = (cpu_seconds(api) - cpu) * 1000 / count
    p50, p99 = (round(percentile(took, share) or 0, 1) for share in (0.5, 0.99))
    return {"requests": count, "p50 ms": p50, "p99 ms": p99, "CPU of the server, ms": round(used, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    text = note()
    with tempfile.TemporaryDirectory() as folder:
        api = ApiProcess(Path(folder))
        try:
            mentions = api.ask("/v1/annotate", text=text)["mentions"]
            starts = cycle([mention["original"]["start"] for mention in mentions])
            words = [len(api.ask("/v1/explain/entity", text=text, start=next(starts))["entity"]["words"]) for _ in mentions]
            found = {
                "characters of the note": len(text),
                "entities": len(mentions),
                "words of an entity's sentence, median": percentile(words, 0.5),
                "annotate": timed(api, lambda: api.ask("/v1/annotate", text=text), given.requests),
                "explain an entity": timed(
                    api, lambda: api.ask("/v1/explain/entity", text=text, start=next(starts)), given.requests
                ),
                "explain flags": timed(api, lambda: api.ask("/v1/explain/flag", text=text), given.requests),
                "explain flags in words": timed(
                    api, lambda: api.ask("/v1/explain/flag", text=text, in_words=True), given.requests
                ),
            }
        finally:
            api.stop()
    json.dump(found, sys.stdout, indent=2)
    if given.record:
        machine = f"{os.cpu_count()} cores, {platform.machine()}, one-minute load {os.getloadavg()[0]:.1f}"
        RESULTS.write_text(json.dumps({"machine": machine, "figures": found}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
