"""Damaged HL7 v2 and FHIR messages through everything that reads one: parse, identity, clinical content, write back. No model, no de-identification.

python -m benchmarks.parse_fuzz [--count 1000000] [--seed N] [--processes 2] [--record]

``--count`` inputs of each format. Wanted: no exception outside the error tree, no input above 100 ms of processor time, no memory that grows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.chaos.site import resident
from benchmarks.deid import adt, note, oru
from benchmarks.deid_fuzz import damage, fhir, shake
from gateway.header import read_header
from schemas.envelope import FHIR_JSON, HL7_V2
from schemas.errors import Poison
from schemas.fhir.references import split_by_patient
from schemas.identity_reader import read_identity
from schemas.message import encode, parse, read_clinical
from streams import memory
from streams.logs import describe

RESULTS = Path(__file__).with_name("results") / "parse_fuzz.json"
FORMATS = ("hl7", "fhir")
_CHARACTERS = (b"^~\\&", b"^~\\&#", b"^~\\", b"^", b"~^\\&", b"", b"|||", b"aaaa", b"^^^^")
_SEGMENTS = b"PID PV1 MRG NK1 IN1 GT1 ORC OBR OBX NTE TXA DG1 AL1 IAM RXA RXE PR1 PRB SPM PV2 ZZZ MSH BHS pid".split()
_LEAVES = (b"", b'""', b"1", b"<5", b"2023", b"20240229235959.9999+1400", b"TX", b"ED", b"NM", b"CWE", b"Base64", b"QUJD", b"\\T\\", b"\\X0D\\", b"\\H\\",
           b"M\xc3\xbcller", b"\xff\xfe", b"LN", b"A" * 300, b"-1e999", b"F", b"C", b"W")  # fmt: skip


def grammar(source: random.Random) -> bytes:
    """A message of segments that there are, with fields that no sender meant."""
    rows = [
        b"MSH|"
        + source.choice(_CHARACTERS)
        + b"|A|B|C|D|2024||"
        + source.choice((b"ORU^R01", b"ADT^A40", b"MDM^T02", b"^", b""))
        + b"|1|P|2.5.1"
    ]
    for _ in range(source.randint(0, 12)):
        fields = [source.choice(_SEGMENTS)]
        for _ in range(source.randint(0, 25)):
            marks = source.choice((b"^", b"~", b"&", b"\\", b""))
            fields.append(marks.join(source.choice(_LEAVES) for _ in range(source.randint(0, 5))))
        rows.append(b"|".join(fields))
    return source.choice((b"\r", b"\r", b"\r\n", b"\n")).join([*rows, b""])


def made(form: str, source: random.Random, number: int) -> bytes:
    """The input of this number: grammar or damage by turns."""
    if form == "hl7":
        return grammar(source) if number % 2 else damage(source, (adt, note, oru)[number // 2 % 3](number))
    if number % 2:
        return json.dumps(shake(source, json.loads(fhir(number)))).encode()
    return damage(source, fhir(number))


def read(form: str, payload: bytes) -> None:
    """All that the doors and stages ask of a message before they do anything with it. Raises Poison."""
    if form == "hl7":
        read_header(payload)
    parsed = parse(HL7_V2 if form == "hl7" else FHIR_JSON, payload)
    if isinstance(parsed, dict):
        for part in split_by_patient(parsed) if parsed.get("resourceType") == "Bundle" else [parsed]:
            read_identity(part)
            read_clinical(part)
            encode(part)
        return
    read_identity(parsed)
    read_clinical(parsed)
    parsed.encode()


def fuzz(form: str, count: int, seed: int) -> dict[str, Any]:
    """Outcomes by code, unhandled exceptions by type and place, the slowest input in seconds of processor time, growth of memory in MiB."""
    source = random.Random(f"{seed}{form}")
    outcomes: Counter[str] = Counter()
    unhandled: Counter[str] = Counter()
    slowest, warm = 0.0, 0
    for number in range(count):
        payload = made(form, source, number)
        begun = time.process_time()
        try:
            read(form, payload)
            outcomes["read"] += 1
        except Poison as error:
            outcomes[error.reason.value] += 1
        except Exception as error:  # counted: the figure wanted is zero
            unhandled[" ".join(describe(error).values())] += 1
        slowest = max(slowest, time.process_time() - begun)
        if number == min(2000, count // 2):
            warm = resident(os.getpid())
    return {
        "inputs": count,
        "outcomes": dict(outcomes.most_common()),
        "unhandled": dict(unhandled),
        "slowest_ms": round(1000 * slowest, 1),
        "memory_growth_mib": round((resident(os.getpid()) - warm) / 2**20, 1),
    }


def read_quietly(payload: bytes, form: str) -> None:
    with suppress(Poison):
        read(form, payload)


def as_in_a_worker() -> None:
    """In each process: what start-up made is no longer looked at by the garbage collector, as in every worker and gateway. Without it a
    full collection over the loaded tables falls on some input, and takes more than a hundred milliseconds."""
    for form in FORMATS:
        read_quietly(made(form, random.Random(0), 0), form)
    memory.started()


def together(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """One row of what several processes found."""
    return {
        "inputs": sum(part["inputs"] for part in parts),
        "outcomes": dict(sum((Counter(part["outcomes"]) for part in parts), Counter()).most_common()),
        "unhandled": dict(sum((Counter(part["unhandled"]) for part in parts), Counter())),
        "slowest_ms": max(part["slowest_ms"] for part in parts),
        "memory_growth_mib": max(part["memory_growth_mib"] for part in parts),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000, help="inputs a format")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.name}")
    arguments = parser.parse_args()
    rows = {}
    with ProcessPoolExecutor(arguments.processes, initializer=as_in_a_worker) as pool:
        for form in FORMATS:
            share = arguments.count // arguments.processes
            jobs = [pool.submit(fuzz, form, share, arguments.seed + number) for number in range(arguments.processes)]
            rows[form] = together([job.result() for job in jobs])
    found = {"day": datetime.now(UTC).date().isoformat(), "seed": arguments.seed, "formats": rows}
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    if arguments.record:
        RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if any(row["unhandled"] for row in rows.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
