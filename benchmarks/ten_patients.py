"""Ten synthetic patients, visit by visit, through the offline way: which flags, and what a look at the raw data says should be there.

    python -m benchmarks.ten_patients [--json FILE]

Each Synthea Bundle is cut into its days: what carries a date of that day, with the Patient, is one message. A look of its own, written apart from the rules and over
the raw resources, lists what stands there: creatinine and eGFR, potassium, sodium, glucose, haemoglobin, blood pressure, temperature, current medications and conditions.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from agents.offline import Offline
from benchmarks.public_data import data_folder
from schemas.envelope import FHIR_JSON
from schemas.errors import WardstreamError
from streams.settings import Settings

#: The patients of docs/explanation/ten-patients.md, by their place among all.
PAGE = (2, 4, 5, 3, 13, 15, 17, 9, 18, 1)
_DATES = ("effectiveDateTime", "onsetDateTime", "authoredOn", "performedDateTime", "date", "issued", "recordedDate")
_LOOK = {"2160-0": "creatinine", "33914-3": "eGFR", "6298-4": "potassium", "2823-3": "potassium", "2951-2": "sodium", "2947-0": "sodium", "2339-0": "glucose",
         "718-7": "hemoglobin", "8310-5": "temperature", "8331-1": "temperature", "9279-1": "respiration", "8867-4": "pulse", "4548-4": "HbA1c"}  # fmt: skip
_SKIPPED = frozenset(
    {"Claim", "ExplanationOfBenefit", "Organization", "Practitioner", "Coverage", "Goal", "CarePlan", "CareTeam", "ImagingStudy"}
)


def days(bundle: dict[str, Any]) -> list[tuple[str, bytes]]:
    """(day, message) in order; resources without a date go with the first day."""
    entries = [
        {name: entry[name] for name in ("fullUrl", "resource") if name in entry}
        for entry in bundle.get("entry", ())
        if "resource" in entry
    ]
    patient = next(entry for entry in entries if entry["resource"]["resourceType"] == "Patient")
    by_day: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in entries:
        resource = entry["resource"]
        if entry is not patient and resource["resourceType"] not in _SKIPPED:
            by_day[next((str(resource[name])[:10] for name in _DATES if resource.get(name)), "")].append(entry)
    first = min(filter(None, by_day))
    return [
        (
            day,
            json.dumps(
                {
                    "resourceType": "Bundle",
                    "type": "collection",
                    "timestamp": f"{day or first}T23:00:00Z",
                    "entry": [patient, *rows],
                }
            ).encode(),
        )
        for day, rows in sorted(by_day.items())
    ]


def look(bundle: dict[str, Any]) -> dict[str, Any]:
    """The raw data in numbers: lowest and highest of what rules read, and what is coded."""
    values: dict[str, list[float]] = defaultdict(list)
    names: dict[str, list[str]] = defaultdict(list)
    for entry in bundle.get("entry", ()):
        resource = entry.get("resource", {})
        if resource.get("resourceType") not in ("Observation", "MedicationRequest", "Condition", "AllergyIntolerance"):
            continue
        for code in resource.get("code", {}).get("coding", ()):
            quantity = resource.get("valueQuantity", {}).get("value")
            if resource["resourceType"] == "Observation" and code.get("code") in _LOOK and quantity is not None:
                values[_LOOK[code["code"]]].append(float(quantity))
        text = resource.get("medicationCodeableConcept", {}).get("text") or resource.get("code", {}).get("text")
        if resource["resourceType"] != "Observation" and text:
            names[resource["resourceType"]].append(text)
    ranges = {name: (min(found), max(found), len(found)) for name, found in sorted(values.items())}
    return {"ranges": ranges, "coded": {kind: dict(Counter(found).most_common(12)) for kind, found in sorted(names.items())}}


def walk(bundle: dict[str, Any]) -> dict[str, Any]:
    """The patient's flags with the day's number, and how often each rule said what."""
    offline = Offline(Settings(), seed=1)
    messages = days(bundle)
    flags: list[dict[str, Any]] = []
    said: dict[str, Counter[str]] = defaultdict(Counter)
    refused: Counter[str] = Counter()
    for number, (day, payload) in enumerate(messages):
        try:
            decision = offline.decide(offline.read_message(FHIR_JSON, payload)).decision
        except WardstreamError as error:
            refused[error.reason.value] += 1
            continue
        for rule, outcome in decision.evaluated.items():
            said[rule][outcome] += 1
        flags += [
            {
                "message": number,
                "year": day[:4],
                "type": f.type,
                "severity": f.severity,
                "summary": f.summary,
                "withdrawn": f.withdrawn,
                "resolved": f.resolved,
            }
            for f in decision.flags
        ]
    return {
        "messages": len(messages),
        "refused": dict(refused),
        "flags": flags,
        "evaluated": {rule: dict(found) for rule, found in sorted(said.items())},
    }


def chosen(everybody: bool) -> list[Path]:
    """The ten of the page, or all."""
    found = [
        path
        for folder in ("fhir_synthea_ms_with_docref", "fhir_synthea_smart")
        for path in sorted((data_folder() / folder).glob("*_*.json"))
    ]
    return found if everybody else [found[number] for number in PAGE]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--all", action="store_true", help="every patient of the two folders")
    arguments = parser.parse_args()
    found = []
    for number, path in enumerate(chosen(arguments.all), 1):
        bundle = json.loads(path.read_text(encoding="utf-8"))
        row = {"patient": number, **walk(bundle), "look": look(bundle)}
        found.append(row)
        print(
            f"patient {number}: {row['messages']} messages, {len(row['flags'])} flags {dict(Counter(f['type'] for f in row['flags']))}",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
