"""Damaged messages and attachments through de-identification: a result or a coded refusal, never another exception, never a hang.

python -m benchmarks.deid_fuzz [--count 10000] [--seed N] [--record]
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from agents.deidentify.step import Deidentifier, make_deidentifier
from agents.deidentify.text.normalise import normalise
from benchmarks import hostile_cda
from benchmarks.deid import adt, note, oru
from benchmarks.deid_sweep import through
from benchmarks.synthetic_pdf import pdf
from schemas.attachments import to_text
from schemas.envelope import FHIR_JSON, HL7_V2
from schemas.errors import Poison
from schemas.message import parse
from streams.logs import describe
from streams.settings import Deid, Settings

RESULTS = Path(__file__).with_name("results") / "deid_fuzz.json"
#: Safe Harbor, and the profile that puts values in where it waits for the vault's answer.
PROFILES: tuple[Literal["safe_harbor", "expert"], ...] = ("safe_harbor", "expert")
#: A single input that takes longer than this is a hang.
HANG_S = 5.0

_PIECES = (b"|", b"^", b"~", b"\\", b"&", b"\r", b"\n", b"\x00", b"\xff", b"\xed\xa0\x80", b"\\X0D\\", b"\\.br\\", b"MSH|", b"PID|", b"OBX|",
           b'"', b"{", b"}", b"[", b"]", b"null", b"-1e999", b"\\ud800", b"<", b">", b"<!--", b"&#0;", b"\\u-10179?", b"\\'e9", b"{\\rtf1",
           b"%PDF-", b"endobj", b"<![CDATA[", b"<!DOCTYPE", "\u202e\u200b\ufdd0".encode(), b"9" * 40)  # fmt: skip

HTML = b"<html><body><h1>Note</h1><table><tr><td>K</td><td>5.9</td></tr></table><pre>a\nb</pre><p>Mr. Quill &amp; son</p></body></html>"
RTF = rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}\f0 Mr. Quill\'e9 was \b seen\b0 .\par \u8364? K 5.9\par}"
CDA = (
    b'<ClinicalDocument xmlns="urn:hl7-org:v3"><component><structuredBody><component><section><title>Note</title>'
    b"<text><paragraph>Mr. Quill seen</paragraph><list><item>one</item></list></text></section></component></structuredBody></component>"
    b"</ClinicalDocument>"
)
PDF = pdf(b"BT /F1 12 Tf 72 200 Td (Mr. Quill was seen now) Tj ET")


def damage(source: random.Random, data: bytes) -> bytes:
    """One to eight cuts, copies, swaps, flips and hostile pieces."""
    raw = bytearray(data)
    for _ in range(source.randint(1, 8)):
        at = source.randrange(len(raw) + 1)
        match source.randrange(6):
            case 0:
                raw[at:at] = source.choice(_PIECES) * source.choice((1, 1, 1, 50))
            case 1:
                del raw[at : at + source.choice((1, 5, 80))]
            case 2 if raw:
                raw[at % len(raw)] = source.randrange(256)
            case 3:
                raw[at:at] = raw[at : at + source.choice((10, 200))]
            case 4:
                raw = raw[:at] if source.random() < 0.2 else raw
            case _:
                other = source.randrange(len(raw) + 1)
                raw[at : at + 20], raw[other : other + 20] = raw[other : other + 20], raw[at : at + 20]
    return bytes(raw)


class NameSurvived(Exception):
    """The name that the input hides is in the output: counted like any other exception that nobody wants."""


def beside_patient(document: bytes) -> bytes:
    """A Bundle of the patient of ``hostile_cda`` and a document."""
    patient = {"resourceType": "Patient", "id": "p1", "name": [{"family": hostile_cda.NAME, "given": ["Jonas"]}]}
    attachment = {"contentType": "text/xml", "data": base64.b64encode(document).decode()}
    reference = {"resourceType": "DocumentReference", "id": "d1", "status": "current", "subject": {"reference": "Patient/p1"},
                 "content": [{"attachment": attachment}]}  # fmt: skip
    entries = [{"fullUrl": f"http://x/{r['resourceType']}/{r['id']}", "resource": r} for r in (patient, reference)]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()


def fhir(number: int) -> bytes:
    """A Bundle of a patient and a report with every kind of attachment."""
    forms = [("text/plain", b"Mr. Quill seen"), ("text/html", HTML), ("application/rtf", RTF), ("text/xml", CDA)]
    patient = {"resourceType": "Patient", "id": f"p{number}", "name": [{"family": "Quill", "given": ["Jonas"]}], "birthDate": "1950-01-02",
               "extension": [{"url": "http://x/y", "valueString": "Quill"}], "contained": [{"resourceType": "Basic", "id": "b"}],
               "text": {"status": "additional", "div": "<div xmlns='http://www.w3.org/1999/xhtml'>Quill</div>"}}  # fmt: skip
    report = {"resourceType": "DiagnosticReport", "id": f"r{number}", "status": "final", "code": {"text": "x"}, "conclusion": "Mr. Quill",
              "subject": {"reference": f"Patient/p{number}"}, "effectiveDateTime": "2024-01-02T03:04:05Z",
              "presentedForm": [{"contentType": kind, "data": base64.b64encode(data).decode()} for kind, data in forms]}  # fmt: skip
    entries = [{"fullUrl": f"http://x/{r['resourceType']}/{r['id']}", "resource": r} for r in (patient, report)]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()


def shake(source: random.Random, node: Any) -> Any:
    """The same JSON with values of other types here and there: syntax stays, so that the damage reaches the rules."""
    if source.random() < 0.01:
        return source.choice(
            [None, True, 10**30, -1.5, "", "x" * 300, [], {}, [[]], {"resourceType": "Nope"}, "\u0000", "Patient/1"]
        )
    if isinstance(node, dict):
        return {(k if source.random() > 0.005 else "_" + k): shake(source, v) for k, v in node.items()}
    return [shake(source, v) for v in node] if isinstance(node, list) else node


def formats(steps: Sequence[Deidentifier]) -> dict[str, Callable[[random.Random, int], object]]:
    """Format -> one damaged input through the code that a message would pass, under one profile after the other."""

    def message(number: int, kind: str, payload: bytes) -> None:
        result = through(steps[number % len(steps)], kind, payload)
        parse(result.content_type, result.payload)  # what comes out can be read again

    def structured(source: random.Random, number: int) -> None:
        shaken = json.dumps(shake(source, json.loads(fhir(number)))).encode()
        message(number, FHIR_JSON, shaken if number // len(steps) % 2 else damage(source, fhir(number)))

    def narrative(source: random.Random, number: int) -> str:
        """A document beside its patient through the whole step; its patient's name may not be read in what comes out."""
        raw = hostile_cda.document(source)
        raw = damage(source, raw) if number // len(steps) % 10 == 0 else raw
        opened = to_text(raw, "text/xml")
        result = through(steps[number % len(steps)], FHIR_JSON, beside_patient(raw))
        reference = json.loads(result.payload)["entry"][1]["resource"]
        left = base64.b64decode(reference["content"][0]["attachment"].get("data", ""))
        if hostile_cda.NAME.casefold() in normalise(left.decode()).text.casefold():
            raise NameSurvived
        return ("passed" if left else "nothing to read") if opened else "withheld"

    def attachment(data: bytes, kind: str) -> Callable[[random.Random, int], object]:
        return lambda source, _: to_text(damage(source, data), kind)

    return {
        "hl7": lambda source, n: message(n, HL7_V2, damage(source, (adt, note, oru)[(n % 10) // 4](n))),
        "fhir": structured,
        "plain": attachment(b"Mr. Quill seen", "text/plain"),
        "html": attachment(HTML, "text/html"),
        "rtf": attachment(RTF, "application/rtf"),
        "ccda": narrative,
        "ccda, damaged bytes": attachment(CDA, "text/xml"),
        "pdf": attachment(PDF, "application/pdf"),
    }


def fuzz(count: int, seed: int, only: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    """Row by format: passed, refused by code, unhandled exceptions by type, seconds of the slowest input."""
    steps = [make_deidentifier(Settings(deid=Deid(use_model=False, profile=profile))) for profile in PROFILES]
    rows: dict[str, dict[str, Any]] = {}
    for name, run in formats(steps).items():
        if only and name not in only:
            continue
        source = random.Random(f"{seed}{name}")
        outcomes: Counter[str] = Counter()
        unhandled: Counter[str] = Counter()
        slowest = 0.0
        for number in range(count):
            begun = time.monotonic()
            try:
                outcome = run(source, number)
                outcomes[outcome if isinstance(outcome, str) else "passed"] += 1
            except Poison as error:
                outcomes[error.reason.value] += 1
            except Exception as error:  # counted: the figure wanted is zero
                unhandled[" ".join(describe(error).values())] += 1
            slowest = max(slowest, time.monotonic() - begun)
        rows[name] = {"inputs": count, "outcomes": dict(outcomes), "unhandled": dict(unhandled), "slowest_s": round(slowest, 2)}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="inputs a format")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--only", action="append", default=[], help="a format; repeatable")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.name}")
    arguments = parser.parse_args()
    rows = fuzz(arguments.count, arguments.seed, tuple(arguments.only))
    print(json.dumps(rows, indent=2))
    if arguments.record:  # formats that were left out keep their rows
        before = json.loads(RESULTS.read_text("utf-8"))["formats"] if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps({"seed": arguments.seed, "formats": before | rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
