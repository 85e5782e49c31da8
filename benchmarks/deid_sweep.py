"""Every public message through de-identification: does anything of the patient or the relatives survive, and is the output still valid?

python -m benchmarks.deid_sweep [--model] [--every N] [--record]

HL7 v2 (``hl7_*``), FHIR (``fhir_*``) and C-CDA (``ccda_*``, each as an attachment beside its patient) go through the pure step with a
vault in memory, HL7 batches and Bundles of several patients in the parts that the doors cut them into. What is refused is counted by
code, path and detail. Identifiers are read and searched here with code of its own (``benchmarks.own_search``), not with the product's readers
and not with the leak gate. Also measured: what a structured message and the leak gate cost.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhir.resources.R4B import get_fhir_model_class

from agents.deidentify.leak import LeakCheck
from agents.deidentify.step import Deidentified, Deidentifier, make_deidentifier
from agents.vault.memory import MemoryVault
from benchmarks.deid import adt, oru, rate
from benchmarks.own_search import Values, hits, ordinary_words, values_of
from benchmarks.public_data import PublicMessage, data_folder, fhir_resources, hl7_messages
from schemas.envelope import FHIR_JSON, HL7_V2
from schemas.errors import Poison
from schemas.fhir.references import split_by_patient
from schemas.hl7.batch import split_messages
from schemas.identity_reader import read_identity
from schemas.message import encode, parse
from streams.settings import Deid, Models, Settings

RESULTS = Path(__file__).with_name("results") / "deid_sweep.json"


@dataclass(slots=True)
class Tally:
    """What became of the messages of one format."""

    read: int = 0
    passed: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    identifiers: int = 0
    surviving: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    not_parsed_again: int = 0
    was_valid: int = 0
    valid_no_more: int = 0
    dropped_segments: Counter[str] = field(default_factory=Counter)
    unhandled: Counter[str] = field(default_factory=Counter)

    def row(self) -> dict[str, Any]:
        """Counts only."""
        return {
            "messages": self.read, "passed": self.passed, "refused": dict(self.refused), "identifiers_sought": self.identifiers,
            "surviving": dict(self.surviving),
            "names_that_are_ordinary_words": self.words.total(), "not_parsed_again": self.not_parsed_again,
            "valid_before": self.was_valid, "valid_no_more": self.valid_no_more, "dropped_segments": dict(self.dropped_segments.most_common()),
            "unhandled_exceptions": dict(self.unhandled),
        }  # fmt: skip


def messages(root: Path) -> Iterator[tuple[str, PublicMessage]]:
    """Format name and message; batches and Bundles come apart as they do at the doors."""
    for message in hl7_messages(root):
        if message.payload.lstrip(b"\xef\xbb\xbf").startswith((b"FHS", b"BHS")):
            try:
                parts = split_messages(message.payload)
            except Poison:
                parts = [message.payload]
            for number, part in enumerate(parts, 1):
                yield "hl7", PublicMessage(f"{message.name}#{number}", HL7_V2, part)
        else:
            yield "hl7", message
    for message in fhir_resources(root):
        for part in _by_patient(message):
            yield "fhir", part
    for path in sorted(root.glob("ccda_*/**/*")):
        if path.is_file() and b"<ClinicalDocument" in (raw := path.read_bytes()):
            yield "ccda", PublicMessage(str(path.relative_to(root)), FHIR_JSON, _beside_its_patient(raw))


def _by_patient(message: PublicMessage) -> list[PublicMessage]:
    try:
        resource = parse(message.content_type, message.payload)
        parts = split_by_patient(resource) if isinstance(resource, dict) else []
    except Poison:
        return [message]
    if len(parts) < 2:
        return [message]
    return [PublicMessage(f"{message.name}#{number}", FHIR_JSON, encode(part)) for number, part in enumerate(parts, 1)]


def _beside_its_patient(document: bytes) -> bytes:
    """A document arrives with the patient it is of: a Bundle of both."""
    values = values_of("text/xml", document)
    patient: dict[str, Any] = {
        "resourceType": "Patient", "id": "p1",
        "name": [{"family": family, "given": given} for family, *given in values.names if family],
        "identifier": [{"system": "urn:example:mr", "value": number} for number in sorted(values.numbers)],
        "telecom": [{"system": "phone", "value": phone} for phone in sorted(values.phones)],
        "address": [{"line": [line]} for line in sorted(values.lines)],
        **({"birthDate": f"{d[:4]}-{d[4:6]}-{d[6:8]}"} if (d := next(iter(values.dates), "")) else {}),
    }  # fmt: skip
    attachment = {"contentType": "text/xml", "data": base64.b64encode(document).decode()}
    reference = {"resourceType": "DocumentReference", "id": "d1", "status": "current", "subject": {"reference": "Patient/p1"},
                 "content": [{"attachment": attachment}]}  # fmt: skip
    entries = [{"fullUrl": f"urn:uuid:{r['id']}", "resource": r} for r in (patient, reference)]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()


def sweep(step: Deidentifier, root: Path, every: int = 1) -> dict[str, Tally]:
    """Each message with a vault of its own, so that no token is an input of another one."""
    tallies: dict[str, Tally] = {"hl7": Tally(), "fhir": Tally(), "ccda": Tally()}
    for number, (kind, message) in enumerate(messages(root)):
        if number % every == 0:
            _one(step, message, tallies[kind])
    return tallies


def _one(step: Deidentifier, message: PublicMessage, tally: Tally) -> None:
    tally.read += 1
    try:
        result = through(step, message.content_type, message.payload)
    except Poison as error:
        tally.refused[str(error)] += 1
        return
    except Exception as error:  # counted: the figure wanted is zero
        tally.unhandled[type(error).__name__] += 1
        tally.examples.append(f"{message.name}: unhandled {type(error).__name__}")
        return
    tally.passed += 1
    values = values_of(message.content_type, message.payload)
    tally.identifiers += values.count()
    _search(values, result, message, tally)
    _validate(message, result, tally)


def _search(values: Values, result: Deidentified, message: PublicMessage, tally: Tally) -> None:
    for kind, value, leaf in hits(values, result.content_type, result.payload):
        if kind == "name" and value in ordinary_words(data_folder()):
            tally.words[value] += 1
            continue
        tally.surviving[kind] += 1
        tally.examples.append(f"{message.name}: {kind} {value!r} in {leaf[:90]!r}")
    for kind, value, _ in hits(values, "text/plain", result.map.encode() + b" " + result.subject.encode()):
        if kind != "date":  # minutes and offsets are eight digits now and then
            tally.surviving[f"{kind} in a header"] += 1
            tally.examples.append(f"{message.name}: {kind} {value!r} in a header")


def _validate(message: PublicMessage, result: Deidentified, tally: Tally) -> None:
    try:
        parse(result.content_type, result.payload)
    except Poison:
        tally.not_parsed_again += 1
        return
    if message.content_type == HL7_V2:
        before, after = (
            [line[:3] for line in p.replace(b"\n", b"\r").split(b"\r") if line.strip()] for p in (message.payload, result.payload)
        )
        rest = iter(before)
        if not all(segment in rest for segment in after):
            tally.not_parsed_again += 1
        tally.dropped_segments.update({s.decode("latin-1"): n for s, n in (Counter(before) - Counter(after)).items()})
    elif _valid(message.payload):
        tally.was_valid += 1
        if not _valid(result.payload):
            tally.valid_no_more += 1
            tally.examples.append(f"{message.name}: valid no more")


def _valid(payload: bytes) -> bool:
    try:
        resource = json.loads(payload)
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    except Exception:  # the library raises what comes
        return False
    return True


def through(step: Deidentifier, content_type: str, payload: bytes) -> Deidentified:
    """One message through both halves of the step."""
    prepared = step.prepare(content_type, payload)
    (pseudonyms,) = asyncio.run(MemoryVault(seed=1).resolve([prepared.request]))
    return step.apply(prepared, pseudonyms)


def gate_microseconds(payload: bytes, step: Deidentifier, rounds: int = 300) -> float:
    """What making and running the leak gate costs one message: the least of three runs, in processor time."""
    from agents.deidentify.step import _leaves

    prepared = step.prepare(HL7_V2, payload)
    (pseudonyms,) = asyncio.run(MemoryVault(seed=1).resolve([prepared.request]))
    step.apply(prepared, pseudonyms)
    identity = read_identity(parse(HL7_V2, payload))
    best = float("inf")
    for _ in range(3):
        begun = time.process_time()
        for _ in range(rounds):
            LeakCheck(identity).check([*_leaves(prepared.parsed), *prepared.opened])
        best = min(best, (time.process_time() - begun) / rounds)
    return round(best * 1e6, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="store_true", help="with the PHI model as third layer")
    parser.add_argument("--every", type=int, default=1, help="only every Nth message")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument("--examples", type=int, default=0, help="print so many findings; public data only")
    arguments = parser.parse_args()
    settings = Settings(models=Models(threads=1)) if arguments.model else Settings(deid=Deid(use_model=False))
    step = make_deidentifier(settings)
    begun = time.monotonic()
    tallies = sweep(step, data_folder(), arguments.every)
    result: dict[str, Any] = {
        "policy": step.policy_version, "every": arguments.every, "seconds": round(time.monotonic() - begun, 1),
        "formats": {kind: tally.row() for kind, tally in tallies.items()},
    }  # fmt: skip
    if not arguments.model:
        result["per_second_per_core"] = {
            "ADT": round(rate(step, [adt(n) for n in range(1000)], 25)), "ORU of 10 kB": round(rate(step, [oru(n) for n in range(125)], 25)),
        }  # fmt: skip
        result["leak_gate_microseconds"] = {
            "ADT": gate_microseconds(adt(1), step), "ORU of 10 kB": gate_microseconds(oru(1), step, 100),
        }  # fmt: skip
    print(json.dumps(result, indent=2))
    for example in [line for tally in tallies.values() for line in tally.examples][: arguments.examples]:
        print(example)
    if arguments.record:
        path = RESULTS.with_name("deid_sweep_model.json") if arguments.model else RESULTS
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
