"""Patients' messages: how many emergencies the triage sees, and how many alarms it makes for nothing.

    python -m benchmarks.triage [--bundle NAME] [--record]

Three sets: the hand-written messages of ``training/tasks/messages.toml`` (whoever wrote the table had read them: what is seen there is no figure for unseen
messages); the 120 messages of ``tests/cases/triage/messages.toml``, made up and labelled by an author who saw neither table nor training messages, with 14 that
hold alarming words for nothing (no row of the table may be written from them); and 1,000 questions of real people to a library (MeQSum; nobody who built the table read one; by how often rows held on them four rows were narrowed): they are taken to be routine, since
emergencies do not go to libraries, so that what is called urgent there is an alarm for nothing, or nearly so. Recall on emergencies of real people is not measured: no open data hold any.
A quarter of them was kept apart from the training of models, and stands by itself too. The table alone; with ``--bundle`` the model alone and both together too.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tomllib
from pathlib import Path

import msgspec

from agents.decide.context import PatientContext
from agents.decide.triage.table import TriageTable
from agents.decide.triage.triager import MessageModel, Triager
from benchmarks.public_data import data_folder
from models.bundle import shelf_bundle
from models.classifier import Classifier
from schemas.findings import Findings, FindingsNote
from streams.settings import Settings
from training.data.meqsum import consumer_questions
from training.tasks.texts import kept_apart

RESULTS = Path(__file__).with_name("results") / "triage.json"
Row = tuple[str, str]


def handwritten() -> list[Row]:
    lists = tomllib.loads((Path(__file__).parent.parent / "training" / "tasks" / "messages.toml").read_text(encoding="utf-8"))
    return [
        (row["text"], next(x.partition(":")[2] for x in row["labels"] if x.startswith("urgency:")))
        for row in lists["handwritten"]
    ]


def blind() -> list[Row]:
    lists = tomllib.loads(
        (Path(__file__).parent.parent / "tests" / "cases" / "triage" / "messages.toml").read_text(encoding="utf-8")
    )
    return [(row["text"], row["urgency"]) for row in lists["message"]]


def questions(data: Path, *, unseen: bool) -> list[Row]:
    """``unseen``: those alone that no model was trained on."""
    return [(text, "routine") for text in consumer_questions(data) if not unseen or kept_apart(text)]


def figures(triager: Triager, rows: list[Row]) -> dict[str, float]:
    begun = time.process_time()
    said = []
    for number, (text, _) in enumerate(rows):
        note = FindingsNote(path="n", text=text, sha256="", author="patient")
        findings = Findings(
            id=str(number), origin=str(number), subject="t", format="fhir", kind="Communication", time="", notes=(note,)
        )
        said.append(triager.read(findings, PatientContext())[0].urgency)
    seconds = time.process_time() - begun
    pairs = [(said, true) for said, (_, true) in zip(said, rows, strict=True)]

    def share(of: str, counts: tuple[str, ...]) -> float | None:
        some = [found in counts for found, true in pairs if true == of]
        return round(sum(some) / len(some), 3) if some else None

    shares = {
        "emergencies called emergency": share("emergency", ("emergency",)),
        "emergencies called urgent at all": share("emergency", ("emergency", "same-day")),
        "same-day called urgent at all": share("same-day", ("emergency", "same-day")),
        "routine called emergency": share("routine", ("emergency",)),
        "routine called urgent at all": share("routine", ("emergency", "same-day")),
    }
    return {"messages": len(rows), "messages a CPU second": round(len(rows) / seconds)} | {
        k: v for k, v in shares.items() if v is not None
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", help="a bundle of the recipe messages, by its name on the shelf")
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()
    table = TriageTable.load()
    sides: dict[str, tuple[TriageTable, MessageModel | None]] = {"table": (table, None)}
    if arguments.bundle:
        chosen = Settings().models
        model = Classifier.load(shelf_bundle(arguments.bundle, chosen.shelf), trusted_keys=chosen.trusted_keys)
        silent = TriageTable(msgspec.structs.replace(table.form, urgency={}), table.sha256)
        sides |= {"model": (silent, model), "both": (table, model)}
    sets = {
        "handwritten": handwritten(),
        "blind": blind(),
        "questions": questions(data_folder(), unseen=False),
        "questions that no model was trained on": questions(data_folder(), unseen=True),
    }
    found = {name: {source: figures(Triager(*side), rows) for source, rows in sets.items()} for name, side in sides.items()}
    json.dump(found, sys.stdout, indent=2)
    if arguments.record:
        RESULTS.write_text(
            json.dumps({"table": table.version, "bundle": arguments.bundle or "", "figures": found}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
