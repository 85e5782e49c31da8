"""What a retraining run begins from, read off the topics, and the records that it leaves, failed ones included."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from benchmarks.loop_world import label
from ops.audited import Act, output_of
from ops.loop.retraining import drifted, forget_erased, labels_of, retrain, runs_of, since_last, teaching
from schemas.drifts import Drift
from schemas.errors import ConfigurationError
from schemas.labels import ReviewedLabel
from schemas.releases import BundleRef
from schemas.runs import TrainingRun
from streams import admin, topics
from streams.producer import Producer
from streams.record import Output
from streams.settings import Kafka, Retrain, Review
from training.recipe import Recipe
from training.retrain import HELD, LEARNED, RUN, StepFailed, write_run

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OLD = BundleRef("0.4.0", "0" * 64)


@pytest.fixture
def kafka(any_broker: str) -> Kafka:
    made = Kafka(bootstrap=any_broker, topic_prefix=f"r{uuid.uuid4().hex[:8]}.", partitions=2)
    admin.apply(made)
    return made


def act() -> Act:
    return Act(str(uuid.uuid4()), "test", "HOPERAT", NOW)


async def store(kafka: Kafka, *outputs: Output) -> None:
    log = Producer(kafka, client_id="test", linger_ms=0)
    for output in outputs:
        await log.produce(output)
    await log.close()


def labelled(name: str, decided: str = "2026-02-01T00:00:00+00:00") -> ReviewedLabel:
    return label(f"Took aspirin, {name}.", name, name, decided)


def stored(row: ReviewedLabel, *, erased: bool = False) -> Output:
    return output_of(topics.LABEL, act(), row.id, row.subject, None if erased else msgspec.json.encode(row), key=row.id.encode())


def told(state: Literal["begun", "ended"]) -> Output:
    drift = Drift(
        id=f"d-{state}", begun="d-begun", state=state, time="2026-02-01T00:00:00Z", since="2026-02-01T00:00:00Z", sender="S", department="",
        kind="ORU^R01", feature="length", before=1, now=2, psi=0.3, p=1e-9, messages=500, entity_model="m",
    )  # fmt: skip
    return output_of(topics.DRIFT, act(), drift.id, "", msgspec.json.encode(drift), key=drift.id.encode())


async def test_an_erased_label_is_not_learned(kafka: Kafka) -> None:
    """Before and after: it is there until its record without a value comes."""
    one, two = labelled("one"), labelled("two")
    await store(kafka, stored(one), stored(two))
    assert {row.id for row in labels_of(kafka)} == {one.id, two.id}
    await store(kafka, stored(one, erased=True))
    assert [row.id for row in labels_of(kafka)] == [two.id]


def test_an_erasure_reaches_the_files_of_earlier_runs(tmp_path: Path) -> None:
    """The erased patient's note goes from both files of a run; the others stay, and all of a run that was given a file."""
    one, two = labelled("one"), labelled("two")
    run, given = tmp_path / "20260101", tmp_path / "20260102"
    whole = b"".join(msgspec.json.encode(row) + b"\n" for row in (one, two))
    made = TrainingRun(
        id="r", model="m", trigger="labels", began="2026", outcome="made", champion=OLD, learned=2, held=2, data={}
    )
    for folder, source in ((run, "topic"), (given, "file")):
        folder.mkdir()
        write_run(folder, msgspec.json.encode(msgspec.structs.replace(made, source=source)))
        for name in (LEARNED, HELD):
            (folder / name).write_bytes(whole)
    assert forget_erased(tmp_path, [one, two]) == 0
    assert forget_erased(tmp_path, [two]) == 2
    for name in (LEARNED, HELD):
        assert (run / name).read_bytes() == msgspec.json.encode(two) + b"\n"
        assert (given / name).read_bytes() == whole
    assert sorted(path.name for path in run.iterdir()) == [HELD, LEARNED, RUN]


def test_labels_of_a_reviewer_who_fails_the_gold_questions_teach_nothing(tmp_path: Path) -> None:
    """The same labels teach where nobody asked gold questions."""
    truth = [msgspec.structs.replace(labelled(f"gold{number}"), reviewer="g") for number in range(5)]
    gold = tmp_path / "gold.jsonl"
    gold.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in truth))
    failed = [msgspec.structs.replace(row, id=f"a{row.sample}", reviewer="r1", spans=()) for row in truth]
    work = [msgspec.structs.replace(labelled(f"n{number}"), reviewer="r1") for number in range(3)]
    kept, aside = teaching(Review(gold=gold), [*failed, *work])
    assert (kept, aside) == ((), {"gold": 3, "gold_question": 5})
    assert len(teaching(Review(), [*failed, *work])[0]) == 8


async def test_a_drift_that_begins_is_a_reason_and_its_end_is_none(kafka: Kafka) -> None:
    """As the watch tells them; what was told before the last run is past."""
    await store(kafka, told("ended"))
    assert not drifted(kafka, None)
    await store(kafka, told("begun"))
    assert drifted(kafka, None)
    assert not drifted(kafka, datetime.now(UTC) + timedelta(hours=1))


def python(path: Path, fails: str) -> Path:
    """In place of the training environment's: every step succeeds but the one whose name is in its arguments."""
    path.write_text(f'#!/bin/sh\ncase "$*" in *{fails}*) exit 3;; esac\necho tracked\n')
    path.chmod(0o755)
    return path


def chosen(tmp_path: Path, fails: str) -> Retrain:
    recipe = tmp_path / "recipe.json"
    made = Recipe(name="base", task="entities", seed=1, bundle="wardstream-entities")
    recipe.write_bytes(msgspec.json.encode(made))
    return Retrain(
        recipe=recipe, key=tmp_path / "key", python=python(tmp_path / "python", fails), folder=tmp_path / "runs", held=0.5
    )


async def test_a_run_that_fails_is_recorded_with_its_step_and_the_next_one_waits(kafka: Kafka, tmp_path: Path) -> None:
    """Begun and failed stand on the topic and in the run's folder; labels decided before it count as seen."""
    rows = [labelled(str(k)) for k in range(20)]
    await store(kafka, told("ended"))
    log = Producer(kafka, client_id="test", linger_ms=0)
    with pytest.raises(StepFailed, match="finish"):
        await retrain(log, chosen(tmp_path, "training.finish"), "labels", rows, OLD, [], act(), lambda: NOW, lambda _: None)
    await log.close()
    (run,) = runs_of(kafka, "wardstream-entities")
    assert (run.outcome, run.failed, run.tracking, run.champion) == ("failed", "finish", "tracked", OLD)
    assert run.learned + run.held == 20
    (folder,) = (tmp_path / "runs").iterdir()
    assert json.loads((folder / RUN).read_text())["failed"] == "finish"
    later = labelled("later", (NOW + timedelta(days=1)).isoformat())
    assert since_last(kafka, [run], rows).labels == 0
    assert since_last(kafka, [run], [*rows, later]).labels == 1
    assert runs_of(kafka, "wardstream-phi") == []


async def test_a_run_that_cannot_be_tracked_does_not_begin(kafka: Kafka, tmp_path: Path) -> None:
    """Nothing on the topic; nothing trained."""
    log = Producer(kafka, client_id="test", linger_ms=0)
    rows = [labelled(str(k)) for k in range(20)]
    with pytest.raises(StepFailed, match="tracking"):
        await retrain(log, chosen(tmp_path, "training.tracking"), "labels", rows, OLD, [], act(), lambda: NOW, lambda _: None)
    await log.close()
    assert runs_of(kafka, "wardstream-entities") == []


async def test_a_recipe_of_another_bundle_is_refused(kafka: Kafka, tmp_path: Path) -> None:
    """A run for the entity model never makes a PHI bundle."""
    log = Producer(kafka, client_id="test", linger_ms=0)
    other = chosen(tmp_path, "nothing").model_copy(update={"model": "wardstream-phi"})
    with pytest.raises(ConfigurationError, match="another name"):
        await retrain(log, other, "command", [labelled("a")], OLD, [], act(), lambda: NOW, lambda _: None)
    await log.close()
