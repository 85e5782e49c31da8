"""Real-shaped notes with their mentions marked, to be read by people: no figure says what a page of errors says.

    python -m benchmarks.read_notes [--notes N] [--seed S]    # Markdown on standard output

Notes come from ACI-Bench (encounter notes), the Synthea bundles (generated progress notes) and the public HL7 reports (capitals,
telegraphic style, tables), through the whole of de-identification and extraction. ``[potassium | test]`` is a mention,
``[fever | finding, negated]`` one with an assertion.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec

from agents.offline import Offline
from benchmarks.public_data import data_folder, fhir_resources, hl7_messages
from schemas.errors import Poison
from schemas.findings import Findings, Mention
from streams.settings import Settings

_SHORTEST = 120  # characters of a note worth reading


def marked(text: str, mentions: list[Mention]) -> str:
    """The text with its mentions in brackets; a mention inside another is left out."""
    parts, at = [], 0
    for mention in sorted(mentions, key=lambda m: (m.start, -m.end)):
        if mention.start < at:
            continue
        axes = [name for name, yes in msgspec.structs.asdict(mention.assertion).items() if yes]
        parts += [text[at : mention.start], "[", text[mention.start : mention.end], " | ", ", ".join([mention.type, *axes]), "]"]
        at = mention.end
    return "".join([*parts, text[at:]])


def _pages(findings: Findings, source: str) -> Iterator[tuple[str, str]]:
    for note in findings.notes:
        if len(note.text) >= _SHORTEST:
            yield source, marked(note.text, [m for m in findings.mentions if m.note == note.path])


def encounter_notes(offline: Offline, root: Path, random: Random) -> Iterator[tuple[str, str]]:
    """ACI-Bench notes."""
    rows = []
    for path in sorted((root / "dialog_aci_bench").rglob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows += [row["note"] for row in csv.DictReader(file) if row.get("note")]
    for text in random.sample(rows, len(rows)):
        yield from _pages(offline.read_text(text).findings, "ACI-Bench")


def message_notes(offline: Offline, messages: list[tuple[str, str, bytes]], random: Random) -> Iterator[tuple[str, str]]:
    """Notes inside messages; one a source folder's file at most."""
    for name, kind, payload in random.sample(messages, len(messages)):
        try:
            pages = list(_pages(offline.read_message(kind, payload).findings, name))
        except Poison:
            continue
        if pages:
            yield max(pages, key=lambda page: len(page[1]))


def main() -> None:
    """Print the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notes", type=int, default=5, help="of each source")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    root, offline = data_folder(), Offline(Settings(), seed=0)
    hl7 = [(m.name, m.content_type, m.payload) for m in hl7_messages(root) if b"OBX" in m.payload or b"NTE" in m.payload]
    fhir = [(m.name, m.content_type, m.payload) for m in fhir_resources(root) if "synthea_ms" in m.name]
    sources = (
        encounter_notes(offline, root, Random(given.seed)),
        message_notes(offline, hl7, Random(given.seed)),
        message_notes(offline, fhir, Random(given.seed)),
    )
    for source in sources:
        for number, (name, page) in enumerate(source, 1):
            print(f"## {name}\n\n{page}\n")
            if number == given.notes:
                break


if __name__ == "__main__":
    main()
