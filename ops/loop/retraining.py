"""What a retraining run begins from, as the topics say it, and the run itself with its records on ``train.run.recorded.v1``."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from models.store import digest_of
from ops.audited import Act, Log, output_of
from ops.records import records_of
from schemas.drifts import Drift
from schemas.errors import ConfigurationError, WardstreamError
from schemas.labels import ReviewedLabel
from schemas.releases import BundleRef
from schemas.runs import TrainingRun, Trigger
from streams import topics
from streams.settings import Kafka, Retrain, Review
from training.data.reviewers import Trust, gold_of, trusted
from training.recipe import load_recipe
from training.retrain import HELD, LEARNED, RUN, Machine, apart, make, next_version, prepared, track, write_run
from training.triggers import Since

_ID_DIGITS: Final = 12


def labels_of(kafka: Kafka) -> list[ReviewedLabel]:
    """Every reviewed label that stands, without those that were erased. Raises BrokerUnavailable."""
    return list(records_of(kafka, topics.LABEL, ReviewedLabel))


def teaching(review: Review, labels: Iterable[ReviewedLabel]) -> tuple[Sequence[ReviewedLabel], Counter[str]]:
    """The labels that may teach, at most one a sample, and how many may not, by reason (``training.data.reviewers``).

    Raises:
        ConfigurationError: the site's gold questions cannot be read.
    """
    judged = trusted(labels, gold_of(review), Trust.of(review))
    return judged.kept, Counter[str](one.reason for one in judged.put_aside)


def forget_erased(folder: Path, labels: Iterable[ReviewedLabel]) -> int:
    """Take out of the runs' label files what stands on the topic no longer: an erasure reaches them with the next look. Returns how many lines
    went. Runs that were given their labels in a file are left: whoever keeps that file erases there, and in the run's folder."""
    standing = {label.id for label in labels}
    gone = 0
    for path in (path for name in (LEARNED, HELD) for path in sorted(folder.glob(f"*/{name}"))):
        if msgspec.json.decode((path.parent / RUN).read_bytes(), type=TrainingRun).source != "topic":
            continue
        lines = path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if msgspec.json.decode(line, type=ReviewedLabel).id in standing]
        if len(kept) < len(lines):
            gone += len(lines) - len(kept)
            draft = path.with_suffix(".new")
            draft.write_bytes(b"".join(kept))
            draft.replace(path)
    return gone


def runs_of(kafka: Kafka, model: str) -> list[TrainingRun]:
    """The runs of a model, newest record of each, in the order in which they began. Raises BrokerUnavailable."""
    return sorted((run for run in records_of(kafka, topics.RUN, TrainingRun) if run.model == model), key=lambda run: run.began)


def drifted(kafka: Kafka, since: datetime | None) -> bool:
    """Whether the watch told of a drift that began since. Raises BrokerUnavailable."""
    return any(drift.state == "begun" for drift in records_of(kafka, topics.DRIFT, Drift, since))


def since_last(kafka: Kafka, runs: Sequence[TrainingRun], labels: Iterable[ReviewedLabel]) -> Since:
    """What there is since the last run began, failed or not: a recipe that fails is not tried again with every look."""
    last = datetime.fromisoformat(runs[-1].began) if runs else None
    new = sum(1 for label in labels if last is None or datetime.fromisoformat(label.decided) > last)
    return Since(last, new, drifted(kafka, last))


async def retrain(
    log: Log,
    chosen: Retrain,
    trigger: Trigger,
    labels: Sequence[ReviewedLabel],
    champion: BundleRef,
    taken: Sequence[TrainingRun],
    act: Act,
    clock: Callable[[], datetime],
    say: Callable[[str], None],
    source: Literal["topic", "file"] = "topic",
    store: str = "",
) -> tuple[TrainingRun, Path]:
    """One run, to its end; returns its record and its folder. It is told of when it begins and when it has ended.

    ``store``: address of the label store that learns which labels the challenger saw; empty for none.

    Raises:
        ConfigurationError: no recipe or no key, or too few labels; nothing was begun.
        StepFailed: a step failed; the record says which.
        BrokerUnavailable: the run could not be told of.
    """
    if chosen.recipe is None or chosen.key is None:
        raise ConfigurationError(path="retrain.recipe" if chosen.recipe is None else "retrain.key", detail="is needed to train")
    base = load_recipe(chosen.recipe)
    if base.bundle != chosen.model:
        raise ConfigurationError(path="retrain.recipe", detail="makes a bundle of another name than retrain.model")
    learned, held = apart(labels, chosen.held)
    folder = chosen.folder / f"{act.now:%Y%m%dT%H%M%S}-{act.id[:_ID_DIGITS]}"
    checkpoint = _checkpoint_of(chosen, champion)
    recipe = prepared(folder, base, learned, held, checkpoint=checkpoint, epochs=chosen.epochs, store=store)
    machine = Machine(chosen.python or Path(sys.executable), chosen.processes)
    version = next_version(champion.version, [run.challenger.version for run in taken if run.challenger])
    data = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (LEARNED, HELD)}
    run = TrainingRun(
        id=act.id,
        model=chosen.model,
        trigger=trigger,
        began=act.time,
        outcome="started",
        champion=champion,
        learned=len(learned),
        held=len(held),
        source=source,
        data=data | {"recipe": hashlib.sha256(chosen.recipe.read_bytes()).hexdigest()},
    )
    write_run(folder, msgspec.json.encode(run))
    run = msgspec.structs.replace(run, tracking=track("begin", folder, machine.python, chosen.tracking))
    await _tell(log, run, folder, act)
    try:
        bundle = make(folder, recipe, version, chosen.key, machine, say)
        ended = msgspec.structs.replace(run, outcome="made", challenger=BundleRef(version, digest_of(bundle)))
    except WardstreamError as error:
        failed = msgspec.structs.replace(run, outcome="failed", failed=error.path or "", ended=_time(clock))
        await _tell(log, failed, folder, act)
        track("end", folder, machine.python, chosen.tracking)
        raise
    ended = msgspec.structs.replace(ended, ended=_time(clock))
    await _tell(log, ended, folder, act)
    track("end", folder, machine.python, chosen.tracking)
    return ended, folder


async def _tell(log: Log, run: TrainingRun, folder: Path, act: Act) -> None:
    value = msgspec.json.encode(run, order="deterministic")
    write_run(folder, value)
    await log.produce(output_of(topics.RUN, act, run.id, "", value, key=run.id.encode()))


def _checkpoint_of(chosen: Retrain, champion: BundleRef) -> Path | None:
    """Where the champion's weights lie, to go on from: in the run that made it, or where the settings say; None where they are not at hand."""
    for path in sorted(chosen.folder.glob(f"*/{RUN}")):
        run = msgspec.json.decode(path.read_bytes(), type=TrainingRun)
        if run.challenger is not None and run.challenger.digest == champion.digest:
            return path.parent / "checkpoint"
    return chosen.checkpoint


def _time(clock: Callable[[], datetime]) -> str:
    return clock().isoformat(timespec="milliseconds")
