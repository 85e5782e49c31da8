"""How far classifiers beside the rules agree with them on notes that no training saw.

    python -m benchmarks.agreement --shelf DIR --trusted-keys DIR [--flags NAME] [--vitals NAME] [--disagreements N] [--record]

Sources: ACI-Bench notes and MTS-Dialog sections whose texts `training.tasks.texts.kept_apart` keeps from training, the MACCROBAT reports that are held out, and the
notes of Synthea's DocumentReferences and DiagnosticReports (written by a generator). No gold exists: kappa says that two readers agree, not that either is right. ``--disagreements``
prints texts (all public) on which they do not, spread over types and sides, for people to read.
"""

from __future__ import annotations

import argparse
import base64
import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from random import Random

from agents.offline import Offline
from benchmarks.public_data import data_folder
from models.bundle import load_manifest, shelf_bundle
from ops.agreement import counted, kappa
from schemas.flags import Decision
from streams.settings import Models, Settings
from training.data.bases import aci_notes
from training.data.brat import read_maccrobat
from training.data.corpora import held_out
from training.tasks.texts import kept_apart

RESULTS = Path(__file__).with_name("results") / "agreement.json"


def _aci(data: Path) -> Iterator[str]:
    yield from filter(kept_apart, aci_notes(data))


def _mts(data: Path) -> Iterator[str]:
    for part in ("Training", "Validation"):
        with (data / f"dialog_mts_dialog/Main-Dataset/MTS-Dialog-{part}Set.csv").open(encoding="utf-8") as file:
            yield from (row["section_text"] for row in csv.DictReader(file) if kept_apart(row["section_text"]))


def _maccrobat(data: Path) -> Iterator[str]:
    yield from (report.text for n, report in enumerate(read_maccrobat(data / "ner_maccrobat2020")) if held_out(n))


def _synthea(data: Path) -> Iterator[str]:
    for path in sorted((data / "fhir_synthea_ms_with_docref").glob("*.json")):
        for entry in json.loads(path.read_text("utf-8")).get("entry", ()):
            resource = entry["resource"]
            attachments = [part["attachment"] for part in resource.get("content", ())] + resource.get("presentedForm", [])
            if resource["resourceType"] in ("DocumentReference", "DiagnosticReport"):
                yield from (base64.b64decode(one["data"]).decode() for one in attachments if "data" in one)


SOURCES = {"aci-bench": _aci, "mts-dialog": _mts, "maccrobat": _maccrobat, "synthea": _synthea}


def read(offline: Offline, texts: list[str]) -> list[Decision]:
    return [offline.decide(offline.read_text(text)).decision for text in texts]


def figures(decisions: list[Decision]) -> dict[str, object]:
    types = {row.type: asdict(row) | {"kappa": _rounded(kappa(row))} for row in counted(decisions)}
    held = Counter(opinion.label for decision in decisions for opinion in decision.opinions if opinion.holds)
    return {"notes": len(decisions), "types": types, "model says so, by class": dict(sorted(held.items()))}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def disagreements(decisions: list[Decision], count: int) -> Iterator[str]:
    """Types and sides in turn, drawn at random with a fixed seed."""
    piles: dict[tuple[str, bool], list[str]] = {}
    for decision in decisions:
        text = " / ".join(note.text for note in decision.findings.notes)
        for opinion in decision.opinions:
            if opinion.type and opinion.disagrees:
                said = f"{opinion.type}: {'model alone' if opinion.holds else 'rule alone'} ({opinion.score})\n{text}"
                piles.setdefault((opinion.type, opinion.holds), []).append(said)
    for pile in piles.values():
        Random(0).shuffle(pile)
    while count and any(piles.values()):
        for pile in piles.values():
            if pile and count:
                count -= 1
                yield pile.pop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shelf", type=Path, required=True, help="the shipped bundles and the classifiers")
    parser.add_argument("--trusted-keys", type=Path, required=True)
    parser.add_argument("--flags")
    parser.add_argument("--vitals")
    parser.add_argument("--disagreements", type=int, default=0)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    models = Models(shelf=given.shelf, trusted_keys=given.trusted_keys, flags=given.flags, vitals=given.vitals, threads=1)
    offline = Offline(Settings(models=models))
    by_source = {name: read(offline, list(dict.fromkeys(source(data_folder())))) for name, source in SOURCES.items()}
    together = [decision for decisions in by_source.values() for decision in decisions]
    bundles = [shelf_bundle(name, given.shelf) for name in (given.flags, given.vitals) if name is not None]
    manifests = [load_manifest(folder, trusted_keys=given.trusted_keys) for folder in bundles]
    classifiers = {
        manifest.label: {name: scores["f1"] for name, scores in manifest.scores.items() if name.endswith("-all")}
        for manifest in manifests
    }
    found = {name: figures(decisions) for name, decisions in (*by_source.items(), ("together", together))}
    json.dump(found, sys.stdout, indent=2)
    for text in disagreements(together, given.disagreements):
        print(f"\n--- {text}")
    if given.record:
        RESULTS.write_text(
            json.dumps({"classifiers, with F1 on their development sets": classifiers, "figures": found}, indent=2) + "\n",
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
