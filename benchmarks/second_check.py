"""The second leak check on queries that its patterns were not developed on: ``python -m benchmarks.second_check [--no-record]``.

The second half of ASQ-PHI (invented clinical queries with marked identifiers): how often a text is suspected from which every identifier is gone, and
how often one in which a single identifier was left. The check knows forms and no names: it is the second of two, not the first.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from agents.second_check import second_check
from benchmarks.public_data import data_folder
from streams.settings import Deid
from training.phi.evaluation import Query, asq_halves

RESULT = Path(__file__).with_name("results") / "second_check.json"


def cleaned(query: Query, left: str = "") -> str:
    """The query with tags for every value but ``left``; the longest first, since one may stand in another."""
    text, values = query
    for value in sorted({value for _, value in values if value != left}, key=len, reverse=True):
        text = text.replace(value, "[NAME]")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-record", action="store_true")
    arguments = parser.parse_args()
    check = second_check(Deid())
    queries = asq_halves(data_folder())[1]
    clean = [bool(check(cleaned(query))) for query in queries]
    seen: dict[str, list[bool]] = {}
    for query, suspected in zip(queries, clean, strict=True):
        for kind, value in query[1]:
            if not suspected and value in cleaned(query, value):
                seen.setdefault(kind.lower(), []).append(bool(check(cleaned(query, value))))
    every = [each for found in seen.values() for each in found]
    report: dict[str, Any] = {
        "what": "second leak check, patterns alone, on the second half of ASQ-PHI",
        "queries": len(queries),
        "suspected_without_identifiers": sum(clean),
        "single_identifiers_left": len(every),
        "suspected": round(sum(every) / len(every), 4),
        "suspected_by_type": {kind: f"{sum(found)} of {len(found)}" for kind, found in sorted(seen.items())},
    }
    print(json.dumps(report, indent=2))
    if not arguments.no_record:
        RESULT.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
