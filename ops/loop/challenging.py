"""What a challenger is tried on: gold texts, the newest reviewed labels, canaries, and what it said in the shadow. All of it named by SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from models.bundle import sha256_of
from ops.leakcheck.canaries import canaries
from ops.leakcheck.notes import marked_notes
from schemas.errors import ConfigurationError
from schemas.labels import ReviewedLabel
from schemas.samples import Sample
from training.challenge import Shadow
from training.data.corpora import data_folder, digest, entity_development
from training.data.document import Document
from training.data.errors import DataError
from training.data.exports import reviewed_document, reviewed_labels
from training.data.own import FORMATS, read_annotated
from training.phi.corpus import PhiTexts
from training.subgroups import groups_of
from training.trial import TrialSets

#: In place of a file: the development parts of the corpora that shipped models are judged by (folder ``WARDSTREAM_DATA``).
CORPORA: Final = "corpora"
_CANARIES, _SEED = 40, 2026


@dataclass(slots=True)
class Material:
    """``evidence``: SHA-256 of every file that was read, by what it was read as."""

    gold: dict[str, list[Document]] = field(default_factory=dict)
    labels: list[ReviewedLabel] = field(default_factory=list)
    learned: list[ReviewedLabel] = field(default_factory=list)
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    newest: list[Document] = field(default_factory=list)
    evidence: dict[str, str] = field(default_factory=dict)


def material(
    gold: Sequence[str], labels: Sequence[Path], samples: Path | None, *, phi: bool, newest: int, learned: Path | None
) -> Material:
    """Read everything.

    Args:
        gold: files as ``[FORMAT:]PATH`` (reviewed labels where no format is said), or ``corpora``.
        labels: files of reviewed labels; of several on one note the last decided counts, and of all the ``newest`` so many.
        samples: the proposed samples, which know who sent the note.
        learned: reviewed labels that the challenger was trained on.

    Raises:
        ConfigurationError: a file is not what it should be; or a text of the trial is one that the challenger learned from.
    """
    made = Material()
    try:
        for source in gold:
            _read_gold(made, source, phi=phi)
        for path in labels:
            made.labels += [label for _, label in reviewed_labels(path)]
            made.evidence[f"labels {path.name}"] = sha256_of(path)
        senders = _senders(samples) if samples else {}
        last = {label.note.sha256: label for label in sorted(made.labels, key=lambda one: (one.decided, one.id))}
        for label in sorted(last.values(), key=lambda one: (one.decided, one.id))[-newest:]:
            document = reviewed_document(label, labels[0])
            made.newest.append(document)
            made.groups[document.id] = groups_of(label.note.text, label.note, senders.get(label.sample, ""))
        for rows in made.gold.values():
            made.groups |= {document.id: groups_of(document.text) for document in rows}
        if learned is not None:
            made.learned = [label for _, label in reviewed_labels(learned)]
            _refuse_learned(made, learned)
    except (DataError, OSError, msgspec.MsgspecError) as error:
        raise ConfigurationError(path="challenge", detail=f"unreadable material: {error}") from error
    return made


def trial_sets(made: Material) -> TrialSets:
    """The sets for ``training.trial``; canaries are the same people every time, so that two verdicts can be compared."""
    return TrialSets(
        gold=made.gold,
        newest={"newest labels": made.newest} if made.newest else {},
        groups=made.groups,
        canaries=marked_notes(canaries(_CANARIES, _SEED), _SEED),
        notes=[label.note.text for label in (*made.labels, *made.learned)],
    )


def shadow_of(path: Path, labels: Sequence[ReviewedLabel]) -> tuple[Shadow, str]:
    """Figures of a report of ``wardstream replay compare --json``, and its SHA-256.

    A lost mention is not counted where a reviewer of the very note says that it was none: it is what retraining is for.

    Raises:
        ConfigurationError: it is no such report.
    """
    try:
        content = path.read_bytes()
        said = msgspec.json.decode(content, type=_Report)
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigurationError(path=str(path), detail="no report of wardstream replay compare --json") from error
    reviewed = {label.note.sha256: label for label in sorted(labels, key=lambda one: (one.decided, one.id))}
    lost = [one for one in said.lost if not _known_wrong(one, reviewed.get(one.note))]
    shadow = Shadow(
        mentions=said.mentions,
        lost_mentions=sum(one.what == "mention" for one in lost),
        flags=said.flags,
        lost_flags=sum(one.what == "flag" for one in lost),
        missing=said.missing,
    )
    return shadow, hashlib.sha256(content).hexdigest()


def _known_wrong(one: _Lost, label: ReviewedLabel | None) -> bool:
    if label is None or one.what != "mention" or one.type not in label.annotated:
        return False
    return all((span.start, span.end, span.type) != (one.start, one.end, one.type) for span in label.spans)


class _Lost(msgspec.Struct):
    what: str
    type: str
    note: str
    start: int
    end: int


class _Report(msgspec.Struct):
    missing: int
    mentions: int
    flags: int
    lost: list[_Lost]


def _read_gold(made: Material, source: str, *, phi: bool) -> None:
    if source == CORPORA:
        made.gold |= _corpora(phi=phi)
        made.evidence["gold corpora"] = hashlib.sha256(
            b"\0".join(d.text.encode() for rows in made.gold.values() for d in rows)
        ).hexdigest()
        return
    kind, _, rest = source.partition(":")
    kind, path = (kind, Path(rest)) if rest and kind in FORMATS else ("reviewed", Path(source))
    made.gold[path.stem] = read_annotated(kind, path)
    made.evidence[f"gold {path.name}"] = sha256_of(path) if path.is_file() else digest(path)


def _corpora(*, phi: bool) -> Mapping[str, list[Document]]:
    if not phi:
        return {name: rows for name, rows in entity_development(data_folder()).items() if name != "phee"}
    maker = PhiTexts(data_folder(), "dev", 97)
    return {"notes": maker.injected(60), "templates": maker.templates(200) + maker.negatives(50)}


def _senders(path: Path) -> dict[str, str]:
    lines = (line for line in path.read_bytes().splitlines() if line.strip())
    return {sample.id: sample.sender for sample in (msgspec.json.decode(line, type=Sample) for line in lines)}


def _refuse_learned(made: Material, path: Path) -> None:
    learned = {label.note.text for label in made.learned}
    if any(document.text in learned for rows in (*made.gold.values(), made.newest) for document in rows):
        raise ConfigurationError(path=str(path), detail="the challenger learned from texts that it would be judged by")
