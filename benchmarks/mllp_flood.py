"""One sender floods the MLLP door: how long a quiet one waits for its acknowledgements, on a real Kafka.

    python -m benchmarks.mllp_flood [--seconds 30] [--rate 10] [--record]

The quiet sender posts ``--rate`` messages a second, one after the other on one connection, each at its own time; the time counts from then. It is
measured alone, beside a sender of ten times its rate, beside one that keeps 64 messages outstanding on each of four connections, and alone again; then
the same flood with a quota of ``QUOTA`` messages a sender (``gateway.max_in_flight_per_sender``). Broker, store, gateway and both senders share the
machine. Asked for: a p99 beside ten times the rate under twice that alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.mllp_ack import Load, gateway
from streams import embedded, kafka_local

RESULT = Path(__file__).with_name("results") / "mllp_flood.json"
TIMES, DEPTH, FLOODING = 10, 64, 4
QUOTA = 32
#: The door knows senders by certificate, else by address.
ANOTHER = "127.0.0.2"


async def measure(port: int, seconds: float, rate: float) -> dict[str, dict[str, float | int]]:
    await Load(port, 4, 3).run()  # connections to Kafka, topic metadata, the broker's JIT
    quiet = _quiet(port, seconds, first=10_000_000)
    paced = Load(port, FLOODING, seconds + 1, first=20_000_000)
    full = Load(port, FLOODING, seconds + 1, first=30_000_000)
    found = {"alone": (await quiet.run(rate=rate)).summary()}
    beside, flood = await asyncio.gather(quiet.run(rate=rate), paced.run(rate=TIMES * rate))
    found |= {"beside ten times its rate": beside.summary(), "the sender of ten times": flood.summary()}
    beside, flood = await asyncio.gather(quiet.run(rate=rate), full.run(depth=DEPTH))
    found |= {"beside a flood without pause": beside.summary(), "the flood": flood.summary()}
    return found | {"alone again": (await quiet.run(rate=rate)).summary()}


async def under_quota(port: int, seconds: float, rate: float) -> dict[str, dict[str, float | int]]:
    await Load(port, 4, 3, first=40_000_000).run()
    quiet, full = _quiet(port, seconds, first=50_000_000), Load(port, FLOODING, seconds + 1, first=60_000_000)
    beside, flood = await asyncio.gather(quiet.run(rate=rate), full.run(depth=DEPTH))
    return {"beside the same flood under a quota": beside.summary(), "the flood under a quota": flood.summary()}


def _quiet(port: int, seconds: float, first: int) -> Load:
    return Load(port, 1, seconds, first=first, address=ANOTHER)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rate", type=float, default=10)
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    runs: dict[str, dict[str, float | int]] = {}
    with tempfile.TemporaryDirectory() as name, kafka_local.kafka(Path(name) / "kafka") as kafka:
        for part, settings in ((measure, {}), (under_quota, {"GATEWAY__MAX_IN_FLIGHT_PER_SENDER": QUOTA})):
            place = Path(name) / part.__name__
            place.mkdir()
            with (
                embedded.redis_server(place / "redis") as redis,
                gateway(kafka.address, f"redis://{redis.address}/0", place, **settings) as (port, _),
            ):
                runs |= asyncio.run(part(port, arguments.seconds, arguments.rate))
    alone = max(runs["alone"]["p99_ms"], runs["alone again"]["p99_ms"])
    report = {
        "day": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} shared cores; load {load:.1f} before",
        "quiet_rate_per_s": arguments.rate,
        "p99 beside ten times its rate, to alone": round(runs["beside ten times its rate"]["p99_ms"] / alone, 2),
        "runs": runs,
    }
    print(json.dumps(report, indent=2))
    if arguments.record:
        RESULT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
