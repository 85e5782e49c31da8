"""What a flag's generated reason may draw on (``models.reasons``), for the kinds of flags that the model was taught."""

from __future__ import annotations

from collections.abc import Iterable

from models.reasons import Evidence
from schemas.findings import FindingsNote
from schemas.flags import Flag, Input

#: What a flag on a note's words is about, in plain language.
_TOPICS = {
    "suicide.ideation": "suicidal thoughts",
    "fall.risk": "a fall risk",
    "radiology.critical": "a critical imaging finding",
}
_MINUTES = 60


def evidence_of(flag: Flag, notes: Iterable[FindingsNote]) -> Evidence | None:
    """The flag's evidence for the model; ``None`` where its kind is none that the model was taught, or something is missing.

    ``notes``: those that the flag's spans may point into; a quote is de-identified text.
    """
    if flag.ended:
        return None
    words, basis = flag.basis.words, flag.basis
    if flag.type == "labs.critical" and basis.inputs and {"input", "limit", "direction"} <= words.keys():
        kind = "lab-low" if words["direction"] == "below" else "lab-high"
        return Evidence(kind, {"test": words["input"], "value": _quantity(basis.inputs[0]), "limit": words["limit"]})
    if flag.type == "aki.kdigo":
        return _kidney(flag)
    if flag.type == "drug.allergy" and {"medication", "allergy"} <= words.keys():
        return Evidence("drug-allergy", {"drug": words["medication"], "allergen": words["allergy"]})
    if flag.type == "drug.interaction" and {"medication", "other"} <= words.keys():
        effect = flag.summary.partition(" together: ")[2]
        values = {"first": words["medication"], "second": words["other"], "effect": effect}
        return Evidence("drug-pair", values) if effect else None
    if flag.type == "news2" and "score at least" in basis.thresholds:
        points = {name: value for name, value in basis.computed.items() if name != "score" and value}
        parts = " and ".join(f"{name} ({value})" for name, value in sorted(points.items()))
        return Evidence(
            "early-warning", {"score": words["score"], "limit": str(basis.thresholds["score at least"]), "parts": parts}
        )
    if flag.type in _TOPICS and basis.text_spans:
        span = basis.text_spans[0]
        text = next((note.text for note in notes if note.sha256 == span.sha256), None)
        return (
            None
            if text is None
            else Evidence("note-statement", {"topic": _TOPICS[flag.type], "quote": text[span.start : span.end]})
        )
    return None


def _kidney(flag: Flag) -> Evidence | None:
    """One value against one earlier value alone: a baseline that is a median or an estimate is no value of the record."""
    rows = flag.basis.inputs
    stage = flag.basis.logic.rpartition("stage ")[2]
    if len(rows) != 2 or rows[0].elapsed is None or rows[1].elapsed is None or not stage.isdigit():
        return None
    hours = round((rows[0].elapsed - rows[1].elapsed) / _MINUTES)
    values = {"value": _quantity(rows[0]), "baseline": _quantity(rows[1]), "hours": f"{hours} hours", "stage": stage}
    return Evidence("kidney-injury", values)


def _quantity(row: Input) -> str:
    return f"{row.text}{row.value} {row.unit}".strip()
