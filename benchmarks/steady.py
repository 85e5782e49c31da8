"""Steady load on real Kafka and Redis: time from intake to result by stage, during recovery from a killed worker, and memory that must not grow.

python -m benchmarks.steady [--minutes 3] [--share 0.6] [--rate N] [--kill STAGE] [--workers 1] [--patients 5000] [--record NAME]

The capacity is measured first (a burst through the same stack); then messages are posted at ``share`` of it, each at its own time whether the one
before was answered or not. Times are those of the records: ``ce_time`` of the intake, then the timestamp of each stage's record. With ``--minutes``
of an hour or more this is the soak.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import synthetic
from benchmarks.chaos.checker import following
from benchmarks.chaos.sender import Sender
from benchmarks.chaos.site import OVERRIDES, STAGES, resident
from ops.collector import percentile
from ops.messages import acknowledgement_code
from ops.stack import Stack, run_stack
from schemas.mllp import FrameDecoder, encode_frame
from streams import topics
from streams.tail import tail

RESULTS = Path(__file__).with_name("results") / "steady.json"
#: Where each stage's record stands; the intake's own is the first.
WAY = (topics.RECEIVED, topics.READY, topics.EXTRACTED, topics.RAISED, topics.BUNDLE)
NAMES = ("intake", *STAGES)
CONNECTIONS = 16
_BURST = 2000
#: The first part of a run is not counted: caches fill, the first collections run.
_WARM_S = 15.0
_SAMPLE_S = 5.0
#: What is received so long after the kill of a worker counts as recovery.
_RECOVERY_S = 15.0


@dataclass(slots=True)
class Times:
    """Milliseconds since 1970 of one message at each place of its way."""

    received: float
    at: dict[str, int] = field(default_factory=dict)


class Paced(threading.Thread):
    """Posts each payload at its own time; ``answers``: milliseconds from the time when it was due to its AA."""

    def __init__(self, host: str, port: int, payloads: Sequence[bytes], rate: float) -> None:
        super().__init__(name="paced", daemon=True)
        self._place, self._payloads, self._rate = (host, port), payloads, rate
        self.answers: list[float] = []
        self.refused = 0

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        begun = time.monotonic()
        lanes = [list(itertools.islice(enumerate(self._payloads), n, None, CONNECTIONS)) for n in range(CONNECTIONS)]
        await asyncio.gather(*(self._lane(rows, begun) for rows in lanes))

    async def _lane(self, rows: Sequence[tuple[int, bytes]], begun: float) -> None:
        reader, writer = await asyncio.open_connection(*self._place)
        decoder = FrameDecoder()
        for number, payload in rows:
            due = begun + number / self._rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            writer.write(encode_frame(payload))
            frames: list[bytes] = []
            while not frames:
                frames = list(decoder.feed(await reader.read(65_536)))
            self.answers.append((time.monotonic() - due) * 1000)
            self.refused += acknowledgement_code(frames[0]) not in ("AA", "CA")
        writer.close()


@dataclass(slots=True)
class Watched:
    """Resident bytes, open files and processor seconds of every process over time."""

    rows: dict[str, list[tuple[float, int, int, float]]] = field(default_factory=dict)

    def look(self, stack: Stack) -> None:
        running = {child.name: child.process.pid for child in (stack.gateway, *stack.workers) if child.running}
        for name, pid in {**running, "broker": stack.broker.pid, "store": stack.redis.pid}.items():
            files = len(os.listdir(f"/proc/{pid}/fd"))
            self.rows.setdefault(name, []).append((time.monotonic(), resident(pid), files, processor_s(pid)))

    def report(self) -> dict[str, Any]:
        """By process: MiB at the end, MiB an hour (least squares over the second half), files at the start of that half and at the end, and the
        share of one core that it took in that half."""
        found = {}
        for name, rows in self.rows.items():
            half = rows[len(rows) // 2 :]
            found[name] = {
                "mib": round(rows[-1][1] / 2**20, 1),
                "mib_per_hour": round(slope([(at / 3600, size / 2**20) for at, size, *_ in half]), 1),
                "core": round(slope([(at, used) for at, *_, used in half]), 2),
                "files": [half[0][2], half[-1][2]],
            }
        return found


def processor_s(pid: int) -> float:
    """Processor time of a process so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Least squares; 0 for fewer than two points."""
    if len(points) < 2:
        return 0.0
    middle = sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)
    width = sum((x - middle[0]) ** 2 for x, _ in points)
    return sum((x - middle[0]) * (y - middle[1]) for x, y in points) / width if width else 0.0


def capacity(stack: Stack, payloads: Sequence[bytes]) -> float:
    """Messages a second through the whole stream: a burst but its last tenth, from the first message sent. A part of it alone says less: one stage
    may be emptying then what another left for it."""
    with following(stack.settings.kafka) as progress:
        sender = Sender(stack.doors.mllp_host, stack.doors.mllp_port, payloads, patience_s=60, connections=32)
        begun = time.monotonic()
        sender.start()
        while progress.ended < 0.9 * len(payloads):
            time.sleep(0.02)
        took = time.monotonic() - begun
        sender.join()
        while progress.ended < len(payloads):
            time.sleep(0.1)
    return 0.9 * len(payloads) / took


def steady(minutes: float, share: float, rate: float | None, kill: str | None, workers: int, patients: int) -> dict[str, Any]:
    load_before = os.getloadavg()[0]
    with (
        tempfile.TemporaryDirectory(prefix="wardstream-steady-") as place,
        run_stack(Path(place), "kafka", stages=STAGES, workers=workers, overrides=_settings()) as stack,
    ):
        stack.wait_ready(240)
        most = capacity(stack, list(synthetic.messages(_BURST, seed=1, patients=patients)))
        wanted = rate or share * most
        count = round(minutes * 60 * wanted)
        payloads = [row.replace(b"|SYN-", b"|STEADY-") for row in synthetic.messages(count, seed=2, patients=patients)]
        sender = Paced(stack.doors.mllp_host, stack.doors.mllp_port, payloads, wanted)
        watched, begun, killed = Watched(), time.time(), None
        sender.start()
        while sender.is_alive():
            watched.look(stack)
            if kill and killed is None and time.time() - begun > minutes * 30:
                victim = next(child for child in stack.workers if child.name.startswith(kill))
                stack.kill_worker(victim)
                killed = time.time()
                stack.restart(victim)
            sender.join(_SAMPLE_S)
        times = _times(stack, begun, count)
    counted = [row for row in times.values() if row.received / 1000 > begun + _WARM_S]
    hurt = [row for row in counted if killed and killed <= row.received / 1000 <= killed + _RECOVERY_S]
    calm = [row for row in counted if not killed or not killed - 2 <= row.received / 1000 <= killed + 2 * _RECOVERY_S]
    return {
        "day": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} shared cores, broker and store on the same ones; load {load_before:.1f} before",
        "workers_a_stage": workers,
        "patients": patients,
        "capacity_per_s": round(most, 1),
        "rate_per_s": round(wanted, 1),
        "minutes": minutes,
        "messages": count,
        "with_result": sum(topics.BUNDLE in row.at for row in times.values()),
        "refused": sender.refused,
        "acknowledged_ms": _row(sender.answers),
        "steady_ms": _stages(calm),
        **({"killed": kill, "received_within_15_s_of_the_kill_ms": _stages(hurt)} if kill else {}),
        "processes": watched.report(),
    }


def _settings() -> dict[str, str]:
    """As shipped, but for the session timeout that the fault suite uses too."""
    return {name: value for name, value in OVERRIDES.items() if "BATCH_SIZE" not in name}


def _times(stack: Stack, begun: float, count: int) -> dict[str, Times]:
    """By origin, of what was received since; waits until all have a result."""
    deadline = time.monotonic() + 120
    while True:
        found: dict[str, Times] = {}
        for record in tail(stack.settings.kafka, WAY, to_end=True, since=datetime.fromtimestamp(begun, UTC)):
            headers = dict(record.headers)
            received = datetime.fromisoformat(headers["ce_time"].decode()).timestamp() * 1000
            if received >= begun * 1000:
                row = found.setdefault(headers["ce_origin"].decode(), Times(received))
                row.at[record.topic] = min(record.timestamp, row.at.get(record.topic, record.timestamp))
        if sum(topics.BUNDLE in row.at for row in found.values()) >= count or time.monotonic() > deadline:
            return found
        time.sleep(1)


def _stages(rows: Sequence[Times]) -> dict[str, Any]:
    """Milliseconds of each stage, from the record before it to its own, and of the whole way."""
    found = {}
    for name, topic, before in zip(NAMES, WAY, (None, *WAY), strict=False):
        found[name] = _row(
            row.at[topic] - (row.received if before is None else row.at[before])
            for row in rows
            if topic in row.at and (before is None or before in row.at)
        )
    found["intake to result"] = _row(row.at[topics.BUNDLE] - row.received for row in rows if topics.BUNDLE in row.at)
    return found


def _row(values: Iterable[float]) -> dict[str, float]:
    rows = sorted(values)
    return {f"p{share}": round(percentile(rows, share / 100) or 0.0) for share in (50, 95, 99)} | {
        "max": round(rows[-1]) if rows else 0
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--share", type=float, default=0.6)
    parser.add_argument("--rate", type=float, help="messages a second, in place of a share")
    parser.add_argument("--kill", choices=STAGES)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--patients",
        type=int,
        default=5000,
        help="among whom the messages are spread: what is known of one makes decisions slower",
    )
    parser.add_argument("--record", metavar="NAME", help=f"under this name in {RESULTS.name}")
    arguments = parser.parse_args()
    found = steady(arguments.minutes, arguments.share, arguments.rate, arguments.kill, arguments.workers, arguments.patients)
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    if arguments.record:
        before = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
        command = f"python -m benchmarks.steady {' '.join(sys.argv[1:])}"
        RESULTS.write_text(
            json.dumps(before | {arguments.record: {"command": command, **found}}, indent=2) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
