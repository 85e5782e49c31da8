"""What an HL7 v2 message says clinically; raw or de-identified (emptied fields, times cut to the year), any message type."""

from __future__ import annotations

import re
from collections import Counter

from schemas.clinical import ClinicalMessage, Coverage
from schemas.hl7 import tables
from schemas.hl7.er7 import Message
from schemas.hl7.facts import on_patient_clock, read_facts
from schemas.hl7.notes import read_notes
from schemas.hl7.paths import add_picture, read_leaf, replace_part

__all__ = ["add_picture", "fact_paths", "fact_time_paths", "on_patient_clock", "read_clinical", "read_leaf", "replace_part"]

_YEAR = re.compile(r"(?:18|19|20)\d\d")
_NUMBERS = re.compile(r"\[\d+\]")


def read_clinical(message: Message) -> ClinicalMessage:
    """Notes, facts, demographics and the coverage report. ``elapsed`` of every fact is ``None``; see ``fact_time_paths``."""
    notes = read_notes(message)
    facts, used = read_facts(message)
    used = used | notes.used | {("MSH", 7), ("MSH", 9)}
    patient, visit = message.first("PID"), message.first("PV1")
    sex, birth, encounter = "", "", ""
    if patient is not None:
        sex, birth, encounter = patient.get(8), patient.get(7), patient.get(18)
        used.update({("PID[1]", 8), ("PID[1]", 7)})
    if visit is not None and visit.get(19):
        encounter = visit.get(19)
        used.add(("PV1[1]", 19))
    elif encounter:
        used.add(("PID[1]", 18))
    year = _YEAR.match(birth)
    return ClinicalMessage(
        format="hl7v2",
        kind=message.kind,
        notes=tuple(notes.found),
        facts=tuple(timed.fact for timed in facts),
        coverage=_coverage(message, used, notes.refused),
        sex=_null(sex),
        birth_year=int(year.group()) if year else None,
        encounter=_null(encounter),
        time=message.header.get(7),
    )


def fact_time_paths(message: Message) -> dict[str, str]:
    """``Fact.path`` -> path of the field that its time was read from (``OBX[2]-14``, ``OBR[1]-7``, ``MSH-7``)."""
    return {path: time for path, (time, _) in fact_paths(message).items()}


def fact_paths(message: Message) -> dict[str, tuple[str, str]]:
    """``Fact.path`` -> paths of the fields that its time and the time in its version were read from."""
    return {timed.fact.path: (timed.time_path, timed.version_path) for timed in read_facts(message)[0]}


def _coverage(message: Message, used: set[tuple[str, int]], refused: dict[str, str]) -> Coverage:
    """Every field that holds something is used, ignored or refused. Names that the standard does not have are not repeated."""
    counts: tuple[Counter[str], Counter[str]] = Counter(), Counter()
    for path, segment in message.walk():
        known = tables.is_segment(segment.id) or segment.id.startswith("Z")
        name = segment.id if known else "???"
        for position in segment.filled():
            counts[(path, position) in used][f"{name}-{position}"] += 1
    unreadable = sum(1 for segment in message.segments if not segment.id and segment.text.strip())
    if unreadable:
        counts[False]["???"] = unreadable
    return Coverage(
        used=dict(counts[True]),
        ignored=dict(counts[False]),
        refused={_NUMBERS.sub("", path): why for path, why in refused.items()},
    )


def _null(text: str) -> str:
    return "" if text == '""' else text
