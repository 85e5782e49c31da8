"""De-identify, extract and assert the same notes: this product against Presidio plus medspaCy, per core, in the same run.

    python -m venv .venv-bench && .venv-bench/bin/pip install --require-hashes -r requirements/bench.txt
    python -m benchmarks.annotate_peers --data DIR [--rounds 5] [--record]

Each side runs in a process and environment of its own (the peers need numpy 1), pinned to one and the same core, one thread;
rounds alternate and begin in turns. Loading and the first notes are not counted. Both sides give spans, replaced text, entities with
negation, possibility, history, hypothesis and family, and sections:

- ours: ``Deidentifier.text`` and ``Extractor.extract_text`` with both shipped models (``agents.offline``, as ``wardstream annotate``);
- peers: Presidio analyzer (all predefined recognizers; a blank English pipeline, since no trained one is on the package index, so
  names and places cost it nothing and are not found) and anonymizer, then medspaCy (PyRuSH sentences, target rules, ConText,
  sections) on the anonymized text. Target rules: the entity strings seen at least twice in MACCROBAT.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

RESULTS = Path(__file__).with_name("results") / "annotate_peers.json"
ROOT = Path(__file__).resolve().parent.parent
WARM_UP = 3
_KINDS = {"Sign_symptom": "PROBLEM", "Disease_disorder": "PROBLEM", "Medication": "MEDICATION"}


def notes(data: Path) -> list[str]:
    """The notes of ACI-Bench, train and valid."""
    csv.field_size_limit(10**7)
    folder = data / "dialog_aci_bench" / "data" / "challenge_data"
    found = []
    for name in ("train.csv", "valid.csv"):
        with (folder / name).open(encoding="utf-8", newline="") as file:
            found.extend(row["note"] for row in csv.DictReader(file))
    return found


def vocabulary(data: Path) -> list[tuple[str, str]]:
    """(string, kind) of MACCROBAT's annotations that occur at least twice."""
    seen: Counter[tuple[str, str]] = Counter()
    for path in sorted((data / "ner_maccrobat2020").rglob("*.ann")):
        for line in path.read_text("utf-8").splitlines():
            parts = line.split("\t")
            if line.startswith("T") and len(parts) == 3 and (kind := _KINDS.get(parts[1].split()[0])):
                seen[parts[2].lower(), kind] += 1
    return sorted(pair for pair, count in seen.items() if count >= 2 and len(pair[0]) > 2)


def ours(data: Path) -> Callable[[str], int]:
    """One note through the product's pure steps; gives the number of mentions."""
    from agents.offline import Offline
    from streams.settings import Models, Settings

    offline = Offline(Settings(models=Models(execution="cpu", threads=1)), seed=0)
    return lambda note: len(offline.read_text(note).findings.mentions)


def peers(data: Path) -> Callable[[str], int]:
    """One note through Presidio, then medspaCy; gives the number of entities."""
    import medspacy
    from medspacy.ner import TargetRule

    from benchmarks.presidio_child import presidio

    try:  # the sentence splitter logs through loguru, which costs time that is not its own
        from loguru import logger

        logger.remove()
    except ImportError:
        pass

    redact = presidio()
    nlp = medspacy.load()
    nlp.get_pipe("medspacy_target_matcher").add([TargetRule(text, kind) for text, kind in vocabulary(data)])
    nlp.add_pipe("medspacy_sectionizer")

    def run(note: str) -> int:
        doc = nlp(redact(note)[0])
        return sum(
            1 for e in doc.ents if (e._.is_negated, e._.is_uncertain, e._.is_historical, e._.is_hypothetical, e._.is_family)
        )

    return run


def child(side: str, data: Path) -> int:
    """Load, warm up, then one round for each line of standard input."""
    todo = notes(data)
    run = {"ours": ours, "peers": peers}[side](data)
    for note in todo[:WARM_UP]:
        run(note)
    print(json.dumps({"ready": side}), flush=True)
    for _ in sys.stdin:
        begin, cpu, found, spent = time.perf_counter(), time.process_time(), 0, []
        for note in todo:
            at = time.perf_counter()
            found += run(note)
            spent.append(time.perf_counter() - at)
        wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
        spent.sort()
        p50, p95 = spent[len(spent) // 2], spent[len(spent) * 95 // 100]
        row = {"wall": wall, "cpu": cpu, "found": found, "p50_ms": p50 * 1000, "p95_ms": p95 * 1000}
        print(json.dumps(row), flush=True)
    return 0


class Side:
    """A child process, pinned to ``core``."""

    def __init__(self, name: str, python: Path, data: Path, core: int) -> None:
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [str(python), str(Path(__file__).resolve()), "--child", name, "--data", str(data)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, cwd=ROOT)
        os.sched_setaffinity(self._process.pid, {core})
        self._read()

    def _read(self) -> dict[str, float]:
        assert self._process.stdout is not None
        while True:
            line = self._process.stdout.readline()
            if not line:
                raise SystemExit(f"{self._process.args[0]} ended; see its message above")  # type: ignore[index]
            if line.startswith("{"):
                result: dict[str, float] = json.loads(line)
                return result

    def round(self) -> dict[str, float]:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("WARDSTREAM_DATA", ROOT.parent / "shared" / "data")))
    parser.add_argument("--peers-python", type=Path, default=ROOT / ".venv-bench" / "bin" / "python")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument("--child", choices=["ours", "peers"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return child(args.child, args.data)
    count = len(notes(args.data))
    core = min(os.sched_getaffinity(0))
    sides = {
        "ours": Side("ours", Path(sys.executable), args.data, core),
        "peers": Side("peers", args.peers_python, args.data, core),
    }
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for number in range(args.rounds):
        for name in list(sides) if number % 2 == 0 else list(sides)[::-1]:
            rows[name].append(sides[name].round())
    for side in sides.values():
        side.close()
    summary: dict[str, object] = {"notes": count, "rounds": args.rounds, "machine": platform.processor() or platform.machine()}
    print(f"{'':6} {'notes/s':>9} {'notes/CPU-s':>12} {'p50 ms':>8} {'p95 ms':>8} {'found':>7}")
    for name, results in rows.items():
        line = {
            "notes_per_second": count / statistics.median(r["wall"] for r in results),
            "notes_per_cpu_second": count / statistics.median(r["cpu"] for r in results),
            "p50_ms": statistics.median(r["p50_ms"] for r in results),
            "p95_ms": statistics.median(r["p95_ms"] for r in results),
            "found": results[0]["found"],
        }
        summary[name] = {key: round(value, 2) for key, value in line.items()}
        print(f"{name:6} {line['notes_per_second']:9.1f} {line['notes_per_cpu_second']:12.1f} {line['p50_ms']:8.1f}"
              f" {line['p95_ms']:8.1f} {line['found']:7.0f}")  # fmt: skip
    ratios = [p["cpu"] / o["cpu"] for o, p in zip(rows["ours"], rows["peers"], strict=True)]
    summary["ratio"] = round(statistics.median(ratios), 2)
    summary["ratio_by_round"] = [round(r, 2) for r in ratios]
    print(f"ratio ours/peers, notes per CPU second: median {summary['ratio']}, rounds {summary['ratio_by_round']}")
    if args.record:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(summary, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
