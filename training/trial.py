"""Champion and challenger on the same texts in the same run, through the code that serves: the figures that ``training.challenge`` judges."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.bundle import Manifest, load_manifest, refuse_other_task
from models.decoding import ScoredSpan
from models.golden import opened_and_tried
from models.session import Execution
from models.tagger import Tagger
from schemas.errors import ConfigurationError
from training.challenge import Figures
from training.data.document import Document
from training.data.labels import PHI_TYPES
from training.gate import Scores, margin_of
from training.leak_tests import passed_on, quoted, uncovered
from training.scoring import Counts, strict

#: Texts that are timed, and how often: the least of the times counts, since other work on the machine only slows.
_TIMED, _TIMES = 64, 5
_Said = Sequence[Sequence[ScoredSpan]]


@dataclass(frozen=True, slots=True)
class TrialSets:
    """What both are measured on.

    Attributes:
        gold, newest: documents by the set's name.
        groups: names of the groups that a document belongs to, by its id.
        canaries: notes of invented people, their identifiers as spans.
        notes: texts of reviewed notes, which no bundle may quote.
    """

    gold: Mapping[str, Sequence[Document]]
    newest: Mapping[str, Sequence[Document]]
    groups: Mapping[str, Sequence[str]]
    canaries: Sequence[Document]
    notes: Sequence[str]


def opened(folder: Path, trusted_keys: Path, threads: int = 1) -> tuple[Tagger, Manifest]:
    """The bundle as a worker opens it: verified, and its golden answers held.

    Raises:
        ConfigurationError: it does not verify, is no tagger, or answers otherwise than where it was made.
    """
    manifest = load_manifest(folder, trusted_keys=trusted_keys)
    refuse_other_task(folder, manifest, "token-classification")
    return opened_and_tried(folder, manifest, Execution(provider="cpu", threads=threads)), manifest


def trial(champion: Path, challenger: Path, sets: TrialSets, *, trusted_keys: Path, threads: int = 1) -> tuple[Figures, Figures]:
    """The champion's figures and the challenger's.

    Raises:
        ConfigurationError: as ``opened``; or the two do not find the same types.
    """
    first, old = opened(champion, trusted_keys, threads)
    with first:
        second, new = opened(challenger, trusted_keys, threads)
        with second:
            if set(old.entity_types) != set(new.entity_types):
                raise ConfigurationError(path=str(challenger), detail="finds other types than the champion")
            seconds = _times((first, second), sets)
            return (
                _figures(first, champion, sets, seconds[0]),
                _figures(second, challenger, sets, seconds[1]),
            )


def _figures(tagger: Tagger, folder: Path, sets: TrialSets, seconds: float) -> Figures:
    gold, newest = ({name: (rows, _tagged(tagger, rows)) for name, rows in each.items()} for each in (sets.gold, sets.newest))
    every = [(d, spans) for rows, said in (*gold.values(), *newest.values()) for d, spans in zip(rows, said, strict=True)]
    canaries = _tagged(tagger, sets.canaries)
    by_chance: dict[str, float] = {}
    if set(tagger.manifest.entity_types) <= set(PHI_TYPES):
        leaks = {"canaries": uncovered(sets.canaries, canaries)}
    else:
        leaks = {"canaries": (count := passed_on(sets.canaries, canaries))}
        total = sum(len(d.spans) for d in sets.canaries)
        by_chance["canaries"] = margin_of(count / max(1, total), max(1, total)) * total
    return Figures(
        gold={name: _row(strict(rows, said)) for name, (rows, said) in gold.items()},
        newest={name: _row(strict(rows, said)) for name, (rows, said) in newest.items()},
        classes=_by_class(every),
        subgroups=_by_group(every, sets.groups),
        leaks=leaks | {"quoted notes": quoted(folder, sets.notes)},
        seconds=seconds,
        by_chance=by_chance,
    )


def _tagged(tagger: Tagger, documents: Sequence[Document]) -> _Said:
    return tagger.tag_many([document.text for document in documents])


def _row(counts: Mapping[str, Counts], name: str = "all") -> dict[str, float]:
    found = counts.get(name, Counts())
    return {"f1": found.f1, "precision": found.precision, "recall": found.recall, "support": float(found.right + found.missed)}


def _by_class(every: Sequence[tuple[Document, Sequence[ScoredSpan]]]) -> Scores:
    counts = strict([d for d, _ in every], [spans for _, spans in every])
    return {name: _row(counts, name) for name in sorted(counts) if name != "all"}


def _by_group(every: Sequence[tuple[Document, Sequence[ScoredSpan]]], groups: Mapping[str, Sequence[str]]) -> Scores:
    found: dict[str, list[tuple[Document, Sequence[ScoredSpan]]]] = defaultdict(list)
    for row in every:
        for group in groups.get(row[0].id, ()):
            found[group].append(row)
    return {name: _row(strict([d for d, _ in rows], [spans for _, spans in rows])) for name, rows in sorted(found.items())}


def _times(taggers: Sequence[Tagger], sets: TrialSets) -> list[float]:
    """Least processor time of each over the same texts, taken in turn: two models that are busy at the same machine are timed alike."""
    texts = [d.text for rows in (*sets.newest.values(), *sets.gold.values()) for d in rows][:_TIMED]
    best = [float("inf")] * len(taggers)
    for _ in range(_TIMES):
        for number, tagger in enumerate(taggers):
            began = time.process_time()
            tagger.tag_many(texts)
            best[number] = min(best[number], time.process_time() - began)
    return best
