"""How far the classifiers beside the rules agree with them, counted over message files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from agents.offline import Annotated, Offline
from ops.explain import read_file
from schemas.flags import Decision, Opinion
from training.scoring import cohen_kappa


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
    """Over every HL7, FHIR and ``.txt`` file of ``folder``; messages of one patient see each other. Raises Poison for a message that must not pass."""
    return counted(one.decision for one in _read(offline, folder))


def counted(decisions: Iterable[Decision]) -> list[Agreement]:
    """By type of flag, those of which the models speak."""
    found: dict[str, Agreement] = {}
    for decision in decisions:
        for opinion in decision.opinions:
            if opinion.type:
                row = found.get(opinion.type, Agreement(opinion.type))
                cell = _cell(opinion)
                found[opinion.type] = replace(row, **{cell: getattr(row, cell) + 1})
    return [found[name] for name in sorted(found)]


def kappa(row: Agreement) -> float | None:
    """Cohen's kappa of rule and model over the messages that both judged; ``None`` where chance alone agrees fully."""
    cells = {("holds", "holds"): row.both, ("holds", ""): row.rule_only, ("", "holds"): row.model_only, ("", ""): row.neither}
    return cohen_kappa(cells)


def _cell(opinion: Opinion) -> str:
    if opinion.rule is None:
        return "unknown"
    return ("both" if opinion.holds else "rule_only") if opinion.rule else ("model_only" if opinion.holds else "neither")


def _read(offline: Offline, folder: Path) -> Iterator[Annotated]:
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield from read_file(offline, file)
