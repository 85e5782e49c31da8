"""How far the classifiers beside the rules agree with them, counted over message files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from agents.offline import Offline
from ops.explain import read_file
from schemas.flags import Opinion


@dataclass(frozen=True, slots=True)
class Agreement:
    """Messages by who says that the flag of this type holds; ``unknown``: the rule could not judge the message."""

    type: str
    both: int = 0
    rule_only: int = 0
    model_only: int = 0
    neither: int = 0
    unknown: int = 0


def count(offline: Offline, folder: Path) -> list[Agreement]:
    """Over every HL7, FHIR (NDJSON too) and ``.txt`` file of ``folder``; messages of one patient see each other. Raises Poison for a message that must not pass."""
    found: dict[str, Agreement] = {}
    for opinion in _opinions(offline, folder):
        if opinion.type:
            row = found.get(opinion.type, Agreement(opinion.type))
            cell = _cell(opinion)
            found[opinion.type] = replace(row, **{cell: getattr(row, cell) + 1})
    return [found[name] for name in sorted(found)]


def kappa(row: Agreement) -> float | None:
    """Cohen's kappa of rule and model over the messages that both judged (Cohen 1960); ``None`` where chance alone agrees fully."""
    total = row.both + row.rule_only + row.model_only + row.neither
    if not total:
        return None
    rule, model = (row.both + row.rule_only) / total, (row.both + row.model_only) / total
    chance = rule * model + (1 - rule) * (1 - model)
    return None if chance == 1 else ((row.both + row.neither) / total - chance) / (1 - chance)


def _cell(opinion: Opinion) -> str:
    if opinion.rule is None:
        return "unknown"
    return ("both" if opinion.holds else "rule_only") if opinion.rule else ("model_only" if opinion.holds else "neither")


def _opinions(offline: Offline, folder: Path) -> Iterator[Opinion]:
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        for annotated in read_file(offline, file):
            yield from annotated.decision.opinions
