"""De-identification alone, on one core: ``python -m benchmarks.deid [--json FILE] [--model]``.

Structured messages (ADT, ORU of 10 kB) and notes (2.7 kB of prose in one OBX a line, known identifiers sprinkled in) through both
halves of the step with a vault in memory; figures are messages per second of processor time in the best of many chunks, so that a busy machine disturbs less.
With ``--model`` the notes are read by the shipped PHI model too. Messages are made here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import time
from collections.abc import Sequence
from pathlib import Path

from agents.deidentify.step import Deidentifier, make_deidentifier
from agents.vault.memory import MemoryVault
from schemas.envelope import HL7_V2
from streams import memory
from streams.settings import Deid, Models, Settings

RESULTS = Path(__file__).with_name("results") / "deid.json"

HEAD = (
    "MSH|^~\\&|LAB|NORTHGATE|EHR|NORTHGATE|20240102030405+0000||{kind}|MSG{n}|P|2.5.1|||AL|NE||UNICODE UTF-8\r"
    "PID|1||{mrn}^^^NORTHGATE&1.2.840.99&ISO^MR||Quillfeather^Jonas^Peregrine^Jr^Mr||19500102|M||2106-3^White^CDCREC|"
    "12 Elm Row^Flat 2^Barton^OH^44123^USA^H||(555)010-1234^PRN^PH|||||ACC{mrn}^^^NORTHGATE\r"
    "PV1|1|I|W2^201^1^NORTHGATE||||D2^Stonebridge^Ian^^^Dr||||||||||||V{mrn}^^^NORTHGATE^VN\r"
)
PROSE = (
    "Patient resting comfortably, no acute distress, lungs clear to auscultation bilaterally. ",
    "Mr. Quillfeather denies chest pain or shortness of breath; metformin 500 mg PO BID continued. ",
    "Potassium 5.9 mmol/L on 1/2/2024, repeat ordered. Seen by Dr. Stonebridge, call back at 555-010-1234. ",
    "Blood pressure 120/80, heart rate 72, temperature 98.6, oxygen saturation 97% on room air. ",
)


def adt(n: int) -> bytes:
    text = (
        HEAD
        + "NK1|1|Quillfeather^Mira^^^Mrs|SPO^Spouse|12 Elm Row^^Barton^OH^44123|(555)010-4321\rAL1|1|DA|7980^Penicillin^RXNORM|SV|hives\r"
    )
    return text.format(kind="ADT^A01^ADT_A01", n=n, mrn=70_000 + n % 50).encode()


def oru(n: int) -> bytes:
    rows = "".join(
        f"OBX|{i}|NM|{2800 + i}-{i % 10}^Substance {i} in serum^LN^K{i}^Local {i}^L||{3 + i / 10}|mmol/L^^UCUM|3.5-5.1|N|||F|||20240102023000||"
        "U7^Stonebridge^Tom\r"
        for i in range(1, 81)
    )
    head = HEAD + "ORC|RE|P{n}^EHR|F{n}^LAB||CM\rOBR|1|P{n}^EHR|F{n}^LAB|24323-8^Panel^LN|||20240102020000\r"
    return head.format(kind="ORU^R01", n=n, mrn=70_000 + n % 50).encode() + rows.encode()


def note(n: int) -> bytes:
    rows = "".join(
        f"OBX|{i}|TX|11506-3^Progress note^LN||{PROSE[(i + n) % len(PROSE)]}Walked {n} steps.||||||F\r" for i in range(1, 31)
    )
    return HEAD.format(kind="ORU^R01", n=n, mrn=70_000 + n % 50).encode() + rows.encode()


async def through(step: Deidentifier, payloads: Sequence[bytes], batch: int = 64) -> None:
    vault = MemoryVault(seed=1)
    for start in range(0, len(payloads), batch):
        prepared = step.prepare_many([(HL7_V2, payload) for payload in payloads[start : start + batch]])
        rows = [row for row in prepared if not isinstance(row, Exception)]
        for row, answer in zip(rows, await vault.resolve([row.request for row in rows]), strict=True):
            step.apply(row, answer)


def rate(step: Deidentifier, payloads: Sequence[bytes], chunk: int) -> float:
    """Messages per second of processor time in the best of the chunks, each with a vault of its own, after one to warm up."""
    asyncio.run(through(step, payloads[:chunk]))
    best = 0.0
    for start in range(0, len(payloads), chunk):
        some = payloads[start : start + chunk]
        begun = time.process_time()
        asyncio.run(through(step, some))
        best = max(best, len(some) / (time.process_time() - begun))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the figures go")
    parser.add_argument("--model", action="store_true", help="also the notes with the PHI model")
    parser.add_argument("--count", type=int, default=1000, help="messages of the smallest kind")
    arguments = parser.parse_args()
    step = make_deidentifier(Settings(deid=Deid(use_model=False)))
    memory.started()  # as a worker does
    kinds = {"ADT": [adt(n) for n in range(arguments.count)], "ORU, 80 OBX": [oru(n) for n in range(arguments.count // 8)],
             "note": [note(n) for n in range(arguments.count // 8)]}  # fmt: skip
    rows = [(name, len(payloads[0]), rate(step, payloads, 25), step.policy_version) for name, payloads in kinds.items()]
    if arguments.model:
        with_model = make_deidentifier(Settings(models=Models(threads=1)))
        some = kinds["note"][: max(8, arguments.count // 50)]
        rows.append(("note, with model", len(some[0]), rate(with_model, some, 5), with_model.policy_version))
    for name, size, speed, _ in rows:
        print(f"{name:18}{size:>8} B {speed:>10.1f} /s")
    table = [
        {"message": name, "bytes": size, "per_second": round(speed, 1), "policy": policy} for name, size, speed, policy in rows
    ]
    machine = {"python": platform.python_version(), "machine": platform.machine(), "measure": "processor time, one thread"}
    arguments.json.write_text(json.dumps({"rows": table, "with": machine}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
