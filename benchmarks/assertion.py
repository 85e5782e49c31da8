"""Assertion on the NegEx sentences (Chapman 2001): ``python -m benchmarks.assertion --data DIR [--errors AXIS]``.

The concept stands in capitals in these rows, which gives its place away; it is put in lower case first. Both files hold nearly
the same sentences (the second adds time and experiencer) and both were read while the lexicon was written: development figures.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agents.extract.assertion import Target, assert_all
from agents.extract.lexicon import lexicon
from agents.extract.sections import layout
from schemas.findings import Assertion

FILES = {"reports": "Annotations-1-120.reports1-80.txt", "random": "rsAnnotations-1-120-random.devpart.txt"}
RESULTS = Path(__file__).with_name("results") / "assertion.json"


@dataclass(frozen=True, slots=True)
class Row:
    text: str
    start: int
    end: int
    negated: bool
    historical: bool | None
    family: bool | None


def rows(path: Path) -> Iterator[Row]:
    """Rows whose concept stands in the sentence."""
    with path.open(encoding="latin-1", newline="") as file:
        for line in list(csv.reader(file, delimiter="\t"))[1:]:
            if len(line) < 4:
                continue
            concept, text, negation = line[1].strip(), line[2], line[3].strip()
            at = text.find(concept.upper())
            if at < 0:
                continue
            end = at + len(concept)
            lowered = text[:at] + text[at:end].lower() + text[end:]
            timed = len(line) > 5
            yield Row(lowered, at, end, negation == "Negated", line[4].strip() == "Historical" if timed else None,
                      line[5].strip() != "Patient" if timed else None)  # fmt: skip


def judge(row: Row) -> Assertion:
    sections, sentences = layout(row.text)
    return assert_all(row.text, [Target(row.start, row.end)], sentences, sections)[0]


def scores(pairs: list[tuple[bool, bool]]) -> dict[str, float]:
    """``pairs`` of (said, true)."""
    hit = sum(said and true for said, true in pairs)
    said = sum(said for said, _ in pairs)
    true = sum(true for _, true in pairs)
    precision = hit / said if said else 0.0
    recall = hit / true if true else 0.0
    f1 = 2 * precision * recall / (precision + recall) if hit else 0.0
    right = sum(a == b for a, b in pairs) / len(pairs)
    return {"n": len(pairs), "true": true, "precision": round(precision, 4), "recall": round(recall, 4), "f1": round(f1, 4),
            "accuracy": round(right, 4)}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("WARDSTREAM_DATA", "../shared/data")))
    parser.add_argument("--errors", choices=["negated", "historical", "family"], help="print the wrong rows of --part")
    parser.add_argument("--part", choices=list(FILES), default="random")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.name}")
    args = parser.parse_args()
    folder = args.data / "assert_negex"
    if not folder.is_dir():
        print(f"no NegEx rows under {folder}", file=sys.stderr)
        return 2
    table: dict[str, object] = {"lexicon": lexicon().version}
    for part, name in FILES.items():
        data = list(rows(folder / name))
        begin = time.perf_counter()
        said = [judge(row) for row in data]
        spent = time.perf_counter() - begin
        for axis in ("negated", "historical", "family"):
            pairs = [(getattr(a, axis), t) for a, row in zip(said, data, strict=True) if (t := getattr(row, axis)) is not None]
            if not pairs:
                continue
            table[f"{part}.{axis}"] = result = scores(pairs)
            print(f"{part:8} {axis:11} " + "  ".join(f"{k} {v}" for k, v in result.items()))
        table[f"{part}.sentences_per_second"] = round(len(data) / spent)
        print(f"{part:8} {len(data) / spent:.0f} rows/s, one core")
        if args.errors and args.part == part:
            for answer, row in zip(said, data, strict=True):
                if (true := getattr(row, args.errors)) is not None and getattr(answer, args.errors) != true:
                    text = " ".join(
                        (row.text[: row.start] + "<<" + row.text[row.start : row.end] + ">>" + row.text[row.end :]).split()
                    )
                    print(f"  {'MISSED' if true else 'FALSE '} {text}")
    if args.record:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(table, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
