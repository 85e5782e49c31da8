"""HL7 v2 in, FHIR out: resource by resource and field by field against the Bundles that another converter's tests expect.

    python -m benchmarks.hl7_to_fhir [--record] [--misses TYPE]

Messages and expected Bundles: ``hl7_ms_fhir_converter`` of the data folder (Microsoft's FHIR Converter, its functional tests), by name. Each message goes
the offline way: de-identified, extracted, decided, rendered as the pseudonymous Bundle. Compared are the clinical resource types; a resource is found when ours
has one of the type with a code or a name in common; ``nameless`` counts the expected ones that have neither, which nothing can match. Fields are leaf paths without positions. Left out, since they are no clinical content or are taken out of every result:
ids, identifiers, meta, narrative, extensions, references, and dates.
What the other converter expects is no standard: its answer may be the odd one.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from agents.offline import Offline
from agents.publish.bundle import render
from benchmarks.public_data import data_folder
from schemas.envelope import HL7_V2
from schemas.errors import WardstreamError
from streams.settings import Settings

RESULT = Path(__file__).with_name("results") / "hl7_to_fhir.json"
#: Clinical resource types, ours and theirs; a medication's order or dispense is a MedicationStatement here.
TYPES = (
    "Observation", "Condition", "AllergyIntolerance", "Procedure", "MedicationRequest", "MedicationDispense", "Immunization", "DiagnosticReport",
    "DocumentReference",
)  # fmt: skip
_OURS = {"MedicationRequest": "MedicationStatement", "MedicationDispense": "MedicationStatement"}
_RECEIVED = "2026-01-01T00:00:00.000Z"
_SKIPPED = frozenset({"id", "identifier", "meta", "text", "extension", "resourceType", "contained"})
_NAMES = {
    "MedicationRequest": "medicationCodeableConcept", "MedicationDispense": "medicationCodeableConcept",
    "MedicationStatement": "medicationCodeableConcept", "Immunization": "vaccineCode", "DocumentReference": "type",
}  # fmt: skip


def resources(bundle: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in bundle.get("entry", ()):
        found[entry["resource"]["resourceType"]].append(entry["resource"])
    drugs = {f"Medication/{drug['id']}": drug.get("code") for drug in found["Medication"]}
    for one in (row for rows in list(found.values()) for row in rows):
        code = drugs.get(one.get("medicationReference", {}).get("reference", ""))
        if code:
            one["medicationCodeableConcept"] = code  # said in place, as we say it
    return found


def names(resource: dict[str, Any]) -> set[str]:
    concept = resource.get(_NAMES.get(resource["resourceType"], "code"), {})
    rows = [concept, *concept.get("coding", ())] if isinstance(concept, dict) else []
    return {str(row[key]).casefold().strip() for row in rows for key in ("code", "display", "text") if row.get(key)}


def leaves(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """(path without positions, value as text) of what is compared."""
    if isinstance(value, dict):
        if "reference" in value:
            return
        for name, inner in value.items():
            dated = name.endswith(("DateTime", "Date", "Period", "Instant")) or name in ("issued", "date", "start", "end")
            if not (dated or (name in _SKIPPED and not (name == "text" and path))):
                yield from leaves(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)
    else:
        yield path, str(value).casefold().strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--misses", help="show the expected resources of this type that were not found")
    arguments = parser.parse_args()
    folder = data_folder() / "hl7_ms_fhir_converter"
    messages = {path.stem: path for path in sorted(folder.rglob("*.hl7"))}
    expected = {path.stem.removesuffix("-expected"): path for path in sorted(folder.rglob("*-expected.json"))}
    offline = Offline(Settings(), seed=1)
    there: Counter[str] = Counter()
    nameless: Counter[str] = Counter()
    found: Counter[str] = Counter()
    ours: Counter[str] = Counter()
    fields: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    refused: Counter[str] = Counter()
    pairs = sorted(messages.keys() & expected.keys())
    for name in pairs:
        theirs = resources(json.loads(expected[name].read_text(encoding="utf-8-sig")))
        try:
            decision = offline.decide(offline.read_message(HL7_V2, messages[name].read_bytes())).decision
            received = replace(decision.findings, time=_RECEIVED)  # no gateway stamped it here
            decision = replace(decision, findings=received)
            made = resources(json.loads(render(decision)))
        except WardstreamError as error:
            refused[error.reason.value] += 1
            print(f"{name}: {error}")
            made = {}
        for kind in TYPES:
            left = list(made.get(_OURS.get(kind, kind), ()))
            ours[kind] += len(left)
            for resource in theirs.get(kind, ()):
                there[kind] += 1
                wanted = names(resource)
                nameless[kind] += not wanted
                twin = next((one for one in left if wanted & names(one)), None)
                if twin is None:
                    if kind == arguments.misses:
                        print(name, json.dumps(resource)[:400])
                    continue
                left.remove(twin)
                found[kind] += 1
                own: dict[str, set[str]] = defaultdict(set)
                for path, value in leaves(twin):
                    # orders and dispenses have instructions where a statement has its dosage
                    own[path.replace("dosage.", "dosageInstruction.", 1) if path.startswith("dosage.") else path].add(value)
                for path, value in leaves(resource):
                    row = fields[kind][path]
                    row["expected"] += 1
                    row["there"] += bool(own[path])
                    row["equal"] += value in own[path]
    report = {
        "pairs": len(pairs),
        "refused": dict(refused),
        "resources": {
            kind: {"expected": there[kind], "nameless": nameless[kind], "found": found[kind], "ours": ours[kind]}
            for kind in TYPES
        },
        "fields": {kind: {path: dict(row) for path, row in sorted(rows.items())} for kind, rows in fields.items()},
    }
    print(f"{len(pairs)} messages, refused: {dict(refused)}")
    for kind in TYPES:
        print(f"{kind:20} expected {there[kind]:4}  nameless {nameless[kind]:3}  found {found[kind]:4}  ours {ours[kind]:4}")
        for path, row in sorted(fields[kind].items()):
            print(f"    {path:44} expected {row['expected']:4}  there {row['there']:4}  equal {row['equal']:4}")
    if arguments.record:
        RESULT.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
