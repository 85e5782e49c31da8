"""Run the schedule and print the table: ``python -m benchmarks.chaos [--size small|full] [--only R1,R5] [--messages N] [--record] [--page]``.

``--record`` writes ``benchmarks/results/chaos.json``, ``--page`` the table of ``docs/reference/reliability.md`` from it. Exit 1: a test did not hold, or a control did not fail.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import sys
import tempfile
import threading
import time
from collections import deque
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from rich.console import Console
from rich.table import Table

from benchmarks import synthetic
from benchmarks.chaos import checker
from benchmarks.chaos.checker import following
from benchmarks.chaos.corrections import corrected, stale
from benchmarks.chaos.plan import Event, Size, Test, events, load
from benchmarks.chaos.sender import Sender
from benchmarks.chaos.site import ROLLED_BACK, STAGES, UPGRADED, missing, site
from streams import topics
from streams.tail import tail

RESULTS = Path(__file__).resolve().parents[1] / "results" / "chaos.json"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "reliability.md"
_BEGIN, _END = "<!-- table: python -m benchmarks.chaos --page -->", "<!-- end of the table -->"
#: Messages of a patient at full size: records that grow without end are measured elsewhere (`benchmarks.long_records`).
_A_PATIENT = 20
#: For a worker that runs on after a pause to write what it held.
_ZOMBIE_S = 6
_COLUMNS = (
    "sent",
    "published",
    "dead",
    "lost",
    "doubled",
    "redelivered",
    "changed",
    "order",
    "stale",
    "stall",
    "recovery",
    "memory",
)


def payloads(test: Test, count: int) -> list[bytes]:
    """Unique messages, and after them in their patient's order those that are sent twice; a poisoned one holds a noncharacter (U+FDD0), which
    de-identification never reads; the clock of a late one's sender is ten years off, ahead or behind."""
    found = list(synthetic.messages(count, patients=max(synthetic.PATIENTS, count // _A_PATIENT)))
    for number in every(test.poison, count):
        found[number] = found[number].replace(b"\rPV1|1|I|", b"\rPV1|1|I\xef\xb7\x90|", 1)
    for number in every(test.late, count):
        found[number] = found[number].replace(b"|2026", b"|2016" if number % 4 < 2 else b"|2036")
    again = set(every(test.repeats, count))
    if test.corrections:
        return corrected(found, every(test.corrections, count), again)
    later: deque[tuple[int, bytes]] = deque()
    rows = []
    for number, payload in enumerate(found):
        rows.append(payload)
        if number in again:
            later.append((number + 40, payload))
        while later and later[0][0] <= number:
            rows.append(later.popleft()[1])
    return [*rows, *(payload for _, payload in later)]


def every(share: float, count: int) -> range:
    """So many of ``count``, evenly."""
    step = round(1 / share) if share else 1
    return range(step // 2, count, step) if share else range(0)


def run(test: Test, size: Size, *, seed: int = 3) -> dict[str, Any]:
    """One test: what was done and what was found. Raises ConfigurationError when it cannot run here."""
    count = test.messages[size]
    plan = events(test, size, STAGES, {"upgrade": UPGRADED, "downgrade": ROLLED_BACK})
    with tempfile.TemporaryDirectory(prefix="wardstream-chaos-") as place, site(Path(place), test, seed=seed) as made:
        kafka = made.stack.settings.kafka
        watcher = threading.Thread(target=made.watch, name="watcher", daemon=True)
        watcher.start()
        rows = payloads(test, count)
        unique = len(set(rows))
        doors = made.stack.doors
        sender = Sender(doors.mllp_host, doors.mllp_port, rows, patience_s=240, connections=test.connections)
        begun = time.monotonic()
        with following(kafka) as progress:
            sender.start()
            for event in sorted([Event(round(0.1 * count), "steady", "", 0), *plan], key=lambda event: event.after):
                deadline = time.monotonic() + 300
                while progress.ended < event.after and time.monotonic() < deadline:
                    time.sleep(0.05)
                if event.do == "steady":
                    made.steady()
                else:
                    made.do(event)
            sender.join()
            wanted = unique if sender.given_up == 0 else sender.acknowledged
            patience = time.monotonic() + (30 if test.must.control else 240)
            while progress.ended < wanted - sender.refused and time.monotonic() < patience:
                time.sleep(0.2)
        seconds = time.monotonic() - begun
        acknowledged = sender.acknowledged - (len(rows) - unique)
        settled = checker.settled(kafka, acknowledged, timeout_s=10 if test.must.lost == "some" else 60)
        made.finish()
        watcher.join()
        time.sleep(_ZOMBIE_S if any(event.do == "pause" for event in plan) else 1)
        found = checker.check(kafka, acknowledged)
        outdated = stale(tail(kafka, (topics.BUNDLE,), to_end=True), rows) if test.corrections else 0
        recovery = checker.recovery_s(found, made.happened)
    row = asdict(found)
    del row["times"]
    row["stale"] = outdated
    return {
        "id": test.id,
        "title": test.title,
        "size": size,
        "day": datetime.now(UTC).date().isoformat(),
        "sent": unique,
        **row,
        "acknowledged": sender.acknowledged,
        "refused_at_the_door": sender.refused,
        "sent_again": sender.retries,
        "settled": settled,
        "faults": len(made.happened),
        "happened": [name for name, _ in made.happened],
        "exit_codes": made.exit_codes,
        "recovery_s": recovery,
        "memory_mib": round(made.most_memory / 2**20),
        "memory_growth": made.growth,
        "offered_per_s": round(len(rows) / sender.seconds, 1),
        "processed_per_s": round(found.published / seconds, 1),
        "seconds": round(seconds, 1),
        "holds": verdict(test, row | {"sent": unique, "growth": made.growth}, sender, made.exit_codes),
    }


def verdict(test: Test, row: dict[str, Any], sender: Sender, exit_codes: list[int]) -> bool:
    """Whether what must hold holds; of a control, whether it failed as it must."""
    must = test.must
    if must.control:
        return all(row[name] > 0 for name in must.control)
    clean = not any(row[name] for name in ("lost", "doubled", "order", "stale")) and sender.given_up == 0
    if must.changed == "none":
        clean = clean and row["changed"] == 0
    if must.growth is not None:
        clean = clean and row["growth"] <= must.growth
    if must.redelivered == "none":
        clean = clean and row["raw_doubles"] == 0 and not any(exit_codes)
    return clean and (must.dead == "any" or bool(row["dead"] == len(every(test.poison, row["sent"]))))


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(row["sent"]), str(row["published"]), str(row["dead"] + row["refused_at_the_door"]), str(row["lost"]), str(row["doubled"]), str(row["raw_doubles"]),
        str(row["changed"]), str(row["order"]), str(row.get("stale", 0)), f"{row['stall_ms'] / 1000:.1f} s", f"{row['recovery_s']} s", f"{row['memory_mib']} MiB",
    )  # fmt: skip


def page(results: dict[str, Any]) -> str:
    """The table in Markdown."""
    lines = [
        _BEGIN,
        "",
        f"{results['machine']}; `{results['command']}`.",
        "",
        "| | fault | size | faults | " + " | ".join(_COLUMNS) + " | holds |",
        "|---|---|---|---:|" + "---:|" * len(_COLUMNS) + "---|",
    ]
    rows = [
        (
            row["id"],
            row["title"],
            f"{row['size']}, {row['day']}",
            str(row["faults"]),
            *cells(row),
            "yes" if row["holds"] else "**no**",
        )
        for row in results["tests"]
    ]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", _END])


def record(rows: list[dict[str, Any]]) -> None:
    """Into the recorded run, in the schedule's order; a row replaces the one of its test and size."""
    known = json.loads(RESULTS.read_text(encoding="utf-8"))["tests"] if RESULTS.exists() else []
    merged = {(row["id"], row["size"]): row for row in (*known, *rows)}
    found = {
        "machine": f"2 shared cores, Python {platform.python_version()}, one broker where nothing else is said, Redis with append-only file, all on the same cores, other work beside",
        "command": "python -m benchmarks.chaos --size SIZE --record",
        "tests": [merged[key] for test in load() for size in ("small", "full") if (key := (test.id, size)) in merged],
    }
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=["small", "full"], default="small")
    parser.add_argument("--only", help="ids, with commas")
    parser.add_argument("--messages", type=int, help="in place of the schedule's number, faults as in this size; the row says so")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--page", action="store_true")
    arguments = parser.parse_args()
    if arguments.page:
        text = PAGE.read_text(encoding="utf-8")
        head, _, rest = text.partition(_BEGIN)
        PAGE.write_text(head + page(json.loads(RESULTS.read_text(encoding="utf-8"))) + rest.partition(_END)[2], encoding="utf-8")
        return
    logging.getLogger("librdkafka").setLevel(logging.CRITICAL)  # that the broker is away is what is done here
    wanted = set(arguments.only.split(",")) if arguments.only else None
    console = Console(width=None if sys.stdout.isatty() else 180)
    rows = []
    for test in load():
        if wanted is not None and test.id not in wanted:
            continue
        if arguments.size not in test.messages:
            continue
        if (lack := missing(test)) is not None:
            console.print(f"{test.id:11} {test.title}: not run, {lack}", style="yellow")
            continue
        if arguments.messages:
            test = replace(test, messages={arguments.size: arguments.messages})
        row = run(test, arguments.size)
        rows.append(row)
        if arguments.record:  # after each: a run of hours that is cut off has its rows
            record(rows)
        console.print(
            f"{test.id:11} {test.title}: {'holds' if row['holds'] else 'DOES NOT HOLD'} ({row['seconds']} s) {json.dumps({k: row[k] for k in ('lost', 'doubled', 'raw_doubles', 'changed', 'order', 'stale', 'dead', 'reasons', 'recovery_s', 'sent_again', 'exit_codes')})}"
        )
    table = Table("", "fault", "faults", *_COLUMNS, "holds")
    for row in rows:
        table.add_row(
            row["id"],
            row["title"],
            str(row["faults"]),
            *cells(row),
            "yes" if row["holds"] else "NO",
            style=None if row["holds"] else "red",
        )
    console.print(table)
    if not all(row["holds"] for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
