"""Drift: alarms on a stationary stream, and how many messages a planted shift takes to be told.

    python -m benchmarks.drift [--messages N] [--no-record]

Numbers come from the offline pipeline on public notes (MTS-Dialog sections, ACI-Bench notes); a stationary stream draws messages from them, a shifted one draws
the same and changes one number as a real cause would. Windows of 500, judged after every 100 messages.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agents.feedback.drift import compare, features
from agents.offline import Offline
from benchmarks.public_data import data_folder
from streams.settings import Settings
from training.tasks.texts import background

RESULT = Path(__file__).parent / "results" / "drift.json"
WINDOW, STEP = 500, 100
Row = dict[str, float]

#: What goes wrong, as a change of a message's numbers.
PLANTED: dict[str, Callable[[Row], Row]] = {
    "confidence falls by a tenth": lambda row: row | ({"confidence": row["confidence"] - 0.1} if "confidence" in row else {}),
    "negation is no longer found": lambda row: row | ({"negated": 0.0} if "negated" in row else {}),
    "notes half as long": lambda row: row | {"length": row["length"] / 2},
    "a third of the mentions is lost": lambda row: (
        row | {"mentions per 1,000 characters": row["mentions per 1,000 characters"] * 0.67}
    ),
    "medications are no longer found": lambda row: row | ({"share of medication": 0.0} if "share of medication" in row else {}),
}


def drawn(count: int) -> list[Row]:
    offline = Offline(Settings())
    texts = background(data_folder(), development=True)
    chance = random.Random(11)
    found = []
    while len(found) < count:
        text = " ".join(chance.sample(texts, chance.randint(2, 12)))
        found.append(features(offline.decide(offline.read_text(text, clean=True)).decision))
    return found


def first_alarm(before: dict[str, list[float]], stream: Any, most: int) -> tuple[int | None, int]:
    """After how many messages the first alarm came, and how many there were."""
    rows: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=WINDOW))
    first, alarms = None, 0
    standing: set[str] = set()
    for number in range(1, most + 1):
        for name, value in next(stream).items():
            rows[name].append(value)
        if number % STEP:
            continue
        now = {
            name
            for name, values in rows.items()
            if len(values) == WINDOW and compare("k", name, before[name], tuple(values)).alarm
        }
        alarms += len(now - standing)
        standing = now
        if now and first is None:
            first = number
    return first, alarms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--drawn", type=int, default=3000)
    parser.add_argument("--no-record", action="store_true")
    arguments = parser.parse_args()
    pool = drawn(arguments.drawn)
    half = len(pool) // 2
    before: dict[str, list[float]] = defaultdict(list)
    for row in pool[:half]:
        for name, value in row.items():
            before[name].append(value)

    def stream(seed: int, change: Callable[[Row], Row] = dict, after: int = 0) -> Any:
        chance, number = random.Random(seed), 0
        while True:
            number += 1
            row = chance.choice(pool[half:])
            yield change(row) if number > after else row

    _, false = first_alarm(before, stream(1), arguments.messages)
    report: dict[str, Any] = {
        "what": "drift alarms: windows of 500 against a baseline of 1,500, judged every 100 messages; numbers of public notes through the pipeline",
        "stationary_messages": arguments.messages,
        "false_alarms": false,
        "planted": {
            name: (first_alarm(before, stream(2, change, after=WINDOW), WINDOW + 2000)[0] or 10**6) - WINDOW
            for name, change in PLANTED.items()
        },
    }
    print(json.dumps(report, indent=2))
    if not arguments.no_record:
        RESULT.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
