"""When a model is trained anew, and what a run is given to learn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from benchmarks.loop_world import label
from schemas.errors import ConfigurationError
from schemas.labels import ReviewedLabel
from schemas.samples import FlagEvidence
from training.recipe import Distil, Recipe, load_recipe
from training.retrain import HELD, LEARNED, RECIPE, apart, next_version, prepared
from training.triggers import Policy, Since, due

NOW = datetime(2026, 3, 1, tzinfo=UTC)
POLICY = Policy(labels=200, days=30, drift=True)
BASE = Recipe(
    name="base",
    task="entities",
    seed=1,
    start="teacher",
    layers=(0, 2),
    learning_rate=1e-3,
    epochs=9.0,
    bundle="wardstream-entities",
)


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        (Since(None, 0, True), None),
        (Since(None, 199, False), None),
        (Since(None, 200, False), "labels"),
        (Since(NOW - timedelta(days=1), 3, True), "drift"),
        (Since(NOW - timedelta(days=29), 3, False), None),
        (Since(NOW - timedelta(days=30), 3, False), "schedule"),
        (Since(NOW - timedelta(days=99), 0, False), None),
    ],
)
def test_a_run_is_due_by_count_drift_or_age_and_never_without_a_new_label(since: Since, expected: str | None) -> None:
    """The first reason that holds."""
    assert due(POLICY, since, NOW) == expected


def test_a_reason_that_is_switched_off_begins_nothing() -> None:
    """Count 0, days 0, no drift: only the command is left."""
    assert due(Policy(labels=0, days=0, drift=False), Since(NOW - timedelta(days=999), 10**6, True), NOW) is None


def rows(count: int) -> list[ReviewedLabel]:
    return [
        label(f"Took aspirin, visit {k}.", f"s{k}", f"p{k // 2}", f"2026-01-01T00:00:{k % 60:02}+00:00") for k in range(count)
    ]


def test_a_patient_is_on_one_side_for_good() -> None:
    """About a quarter is held; no patient is on both sides; more labels later move nobody."""
    learned, held = apart(rows(400), 0.25)
    assert not {row.subject for row in learned} & {row.subject for row in held}
    assert 0.15 < len(held) / 400 < 0.35
    fewer = apart(rows(100), 0.25)
    assert {row.subject for row in fewer[1]} <= {row.subject for row in held}


def test_of_two_labels_of_a_note_the_last_decided_is_learned() -> None:
    """Whatever the order in which they come."""
    (one,) = rows(1)
    later = msgspec.structs.replace(one, id="b", decided="2026-02-01T00:00:00+00:00", spans=())
    assert [*map(list, apart([later, one], 0.0001))] == [[later], []]


def test_versions_go_on_from_the_champions_and_from_runs_before() -> None:
    """Two challengers of one champion have two versions; those of another line do not count."""
    assert next_version("0.4.0", []) == "0.4.1"
    assert next_version("0.4.0", ["0.4.1", "0.4.2", "0.3.9"]) == "0.4.3"


def test_from_the_champions_checkpoint_it_goes_on_in_smaller_steps(tmp_path: Path) -> None:
    """The corpora stay in; layers and teachers of the first making are no matter any more."""
    base = msgspec.structs.replace(BASE, distil=Distil(teachers=("a",)))
    made = prepared(tmp_path, base, rows(4), rows(2), checkpoint=tmp_path / "old", epochs=2.0)
    assert (made.start, made.layers, made.distil, made.epochs, made.corpora) == (str(tmp_path / "old"), (), None, 2.0, True)
    assert made.learning_rate < base.learning_rate
    assert load_recipe(tmp_path / RECIPE) == made
    assert len((tmp_path / LEARNED).read_bytes().splitlines()) == 4
    assert len((tmp_path / HELD).read_bytes().splitlines()) == 2


def test_without_a_checkpoint_the_recipe_is_followed_from_its_own_start(tmp_path: Path) -> None:
    """In full, and where its teachers are not at hand by the labels alone."""
    base = msgspec.structs.replace(BASE, distil=Distil(teachers=("nowhere",)))
    made = prepared(tmp_path, base, rows(4), rows(2), checkpoint=None, epochs=2.0)
    assert (made.layers, made.distil, made.epochs, made.learning_rate) == ((0, 2), None, 9.0, 1e-3)
    assert made.start.endswith("/out/training/teacher")


def test_a_flag_classifier_learns_from_notes_whose_flags_were_judged(tmp_path: Path) -> None:
    """The others are neither learned nor judged by, nor those from before a flag's evidence was kept; where none was judged no run begins."""
    base = msgspec.structs.replace(BASE, task="flags")
    bare = [msgspec.structs.replace(row, flags={"f": "right"}) for row in rows(3)]
    judged = [msgspec.structs.replace(row, evidence={"f": FlagEvidence(type="fall.risk", spans=((0, 4),))}) for row in bare]
    prepared(tmp_path / "run", base, [*rows(4), *bare, *judged], [*rows(2), judged[0]], checkpoint=None, epochs=1.0)
    assert [len((tmp_path / "run" / name).read_bytes().splitlines()) for name in (LEARNED, HELD)] == [3, 1]
    with pytest.raises(ConfigurationError, match="too few"):
        prepared(tmp_path / "none", base, [*rows(4), *bare], judged, checkpoint=None, epochs=1.0)


def test_a_run_without_labels_to_learn_or_to_judge_by_does_not_begin(tmp_path: Path) -> None:
    """Nothing is written."""
    alone = msgspec.structs.replace(BASE, corpora=False)
    for learned, held in (([], rows(2)), (rows(2), [])):
        with pytest.raises(ConfigurationError, match="too few"):
            prepared(tmp_path / "run", alone, learned, held, checkpoint=None, epochs=1.0)
    assert not (tmp_path / "run").exists()
