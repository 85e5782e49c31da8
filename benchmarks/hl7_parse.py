"""HL7 v2 reading and writing beside python-hl7 in the same run: ``python -m benchmarks.hl7_parse [--json FILE]``.

Each round parses the message, reads ten fields, edits one and writes the message back; the two libraries take turns, and the best
of the rounds counts, so that a busy machine disturbs both alike. Messages are made here.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import hl7

from schemas.hl7.er7 import parse

RESULTS = Path(__file__).with_name("results") / "hl7_parse.json"
#: (segment, field, component) of the ten reads.
READS = [("MSH", 10, 1), ("MSH", 9, 1), ("MSH", 12, 1), ("PID", 3, 1), ("PID", 3, 4), ("PID", 5, 1), ("PID", 5, 2), ("PID", 7, 1),
         ("PV1", 19, 1), ("PV1", 2, 1)]  # fmt: skip

HEAD = (
    "MSH|^~\\&|LAB|NORTHGATE|EHR|NORTHGATE|20240102030405+0000||ORU^R01^ORU_R01|MSG0000001|P|2.5.1|||AL|NE||UNICODE UTF-8\r"
    "PID|1||100200300^^^NORTHGATE&1.2.840.99&ISO^MR~900800700^^^NHS^NH||Quill^Jonas^Peter^Jr^Mr||19500102|M||2106-3^White^CDCREC|"
    "12 Elm Row^Flat 2^Barton^OH^44123^USA^H||(555)010-1234^PRN^PH~^NET^Internet^jonas@example.org|||||||ACC77^^^NORTHGATE\r"
    "PV1|1|I|W2^201^1^NORTHGATE||||D2^Stone^Ian^^^Dr|||||||||||V55^^^NORTHGATE^VN|||||||||||||||||||||||||20240101120000\r"
)
ORDER = "ORC|RE|P1^EHR|F1^LAB||CM\rOBR|1|P1^EHR|F1^LAB|24323-8^Comprehensive metabolic panel^LN|||20240102020000\r"


def observations(count: int) -> str:
    return "".join(
        f"OBX|{n}|NM|2823-3^Potassium \\T\\ co {n}^LN^K^Kalium^L||{3 + n / 10}|mmol/L^^UCUM|3.5-5.1|N|||F|||"
        "20240102023000||U7^Tech^Tom\r"
        for n in range(1, count + 1)
    )


def samples() -> dict[str, str]:
    evn = "EVN|A01|20240102030405|||U7^Clerk^Cora\r"
    relatives = "NK1|1|Quill^Mira^^^Mrs|SPO^Spouse|12 Elm Row^^Barton^OH^44123|(555)010-4321\r" * 3
    note = "OBX|1|FT|11506-3^Progress note^LN||" + "Patient resting comfortably\\.br\\no acute distress. " * 160 + "||||||F\r"
    return {
        "ADT^A01": HEAD + evn + relatives + "AL1|1|DA|7980^Penicillin^RXNORM|SV|hives\rDG1|1||E11.9^Diabetes^I10C\r",
        "ORU, 10 OBX": HEAD + ORDER + observations(10),
        "ORU, 60 OBX": HEAD + ORDER + observations(60),
        "ORU, 8 kB note": HEAD + ORDER + note,
    }


def ours(payload: bytes) -> bytes:
    message = parse(payload)
    segments = {name: message.first(name) for name in ("MSH", "PID", "PV1")}
    for name, field, component in READS:
        segments[name].get(field, 1, component)  # type: ignore[union-attr]
    segments["PID"].set(5, "REDACTED")  # type: ignore[union-attr]
    return message.encode()


def theirs(payload: bytes) -> bytes:
    message = hl7.parse(payload.decode())
    for name, field, component in READS:
        found = message.segment(name)[field][0]
        str(found[component - 1] if isinstance(found, hl7.Repetition) else found)
    message.segment("PID")[5][0][0] = "REDACTED"
    return str(message).encode()


def best(work: Callable[[bytes], bytes], payload: bytes, seconds: float) -> float:
    """Microseconds of one call, the best of the calls made in ``seconds``."""
    fastest, until = float("inf"), time.perf_counter() + seconds
    while (started := time.perf_counter()) < until:
        work(payload)
        fastest = min(fastest, time.perf_counter() - started)
    return fastest * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the figures go")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each library on each message, in five turns")
    arguments = parser.parse_args()
    rows = []
    for name, text in samples().items():
        payload = text.encode()
        if ours(payload) != theirs(payload):
            raise SystemExit(f"{name}: the two libraries write different messages")
        turns = [(best(ours, payload, arguments.seconds / 5), best(theirs, payload, arguments.seconds / 5)) for _ in range(5)]
        mine, other = min(turn[0] for turn in turns), min(turn[1] for turn in turns)
        rows.append(
            {
                "message": name,
                "bytes": len(payload),
                "wardstream_us": round(mine, 1),
                "python_hl7_us": round(other, 1),
                "ratio": round(other / mine, 1),
            }
        )
        print(f"{name:16}{len(payload):>8} B  wardstream {mine:>8.1f} us   python-hl7 {other:>9.1f} us   {other / mine:>6.1f} x")
    machine = {"python": platform.python_version(), "machine": platform.machine(), "python-hl7": version("hl7")}
    arguments.json.write_text(json.dumps({"rows": rows, "with": machine}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
