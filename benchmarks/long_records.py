"""Decisions a second as one patient's record grows: a bed with eight values an hour and five medications that are sent again and again.

python -m benchmarks.long_records [--hours N] [--no-record]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from pathlib import Path

from agents.decide.context import PatientContext
from agents.decide.ruleset import RuleSet
from agents.decide.step import Decider
from agents.decide.trial import message
from schemas.findings import Findings

RESULT = Path(__file__).parent / "results" / "long_records.json"
#: LOINC, unit, kind, range: wide enough that about every second hour raises something.
VALUES = (
    ("2823-3", "mmol/L", "lab", 3.5, 5.5), ("2951-2", "mmol/L", "lab", 130, 150), ("2160-0", "mg/dL", "lab", 0.7, 1.6),
    ("8867-4", "/min", "vital", 60, 120), ("9279-1", "/min", "vital", 12, 26), ("8480-6", "mm[Hg]", "vital", 88, 150),
    ("8310-5", "Cel", "vital", 36, 39), ("59408-5", "%", "vital", 90, 99),
)  # fmt: skip
MEDICATIONS = ("warfarin", "metformin", "lisinopril", "ibuprofen", "omeprazole")


def hour(number: int, chance: random.Random) -> Findings:
    values = [
        {"id": f"{number}-{code}", "code": code, "value": round(chance.uniform(low, high), 1), "unit": unit, "kind": kind}
        for code, unit, kind, low, high in VALUES
    ]
    drug = number % len(MEDICATIONS)
    row = {"at": f"{number}h", "values": values, "medications": [{"id": f"m{drug}", "text": MEDICATIONS[drug]}]}
    return message(number, row, {"age": 60, "sex": "F"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=int, default=300)
    parser.add_argument("--no-record", action="store_true")
    arguments = parser.parse_args()
    decider, context, chance = Decider(RuleSet.load()), PatientContext(), random.Random(1)
    rates: dict[int, float] = {}
    flags, begun = 0, time.process_time()
    for number in range(1, arguments.hours + 1):
        decision, context = decider.decide(hour(number, chance), context)
        flags += len(decision.flags)
        if not number % 100:
            now = time.process_time()
            rates[len(context.facts)] = round(100 / (now - begun), 1)
            begun = now
    report = {
        "what": "decisions a second of processor time, by facts in the record",
        "load_before": round(os.getloadavg()[0], 2),
        "flags": flags,
        "decisions_per_second": rates,
    }
    print(json.dumps(report, indent=2))
    if not arguments.no_record:
        RESULT.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
