"""``wardstream labels`` on both brokers: from the topics into a store, going on where it ended, and out again for training."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from ops.cli import cli
from ops.loop.collecting import collect
from schemas.envelope import JSON, DataClass, Envelope
from schemas.erasure import Erasure
from schemas.errors import ConfigurationError, StoreUnavailable
from schemas.releases import BundleRef, ModelRelease
from streams import admin, topics
from streams.settings import Kafka
from tests.support.labels import label, sample, text_note
from tests.support.streams_site import Site
from training.data.exports import read_reviewed
from training.label_store.rows import Row
from training.label_store.store import LabelStore

NOW = datetime(2026, 3, 10, tzinfo=UTC)
TOPIC = {"sample": topics.SAMPLE, "label": topics.LABEL}


@pytest.fixture
def kafka(site: Site) -> Kafka:
    found = site.settings.kafka
    admin.Admin(found).apply(
        admin.wanted(found, [topics.BY_NAME[name] for name in (topics.SAMPLE, topics.LABEL, topics.ERASURE)])
    )
    return found


@pytest.fixture
def run(site: Site, kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    for name, value in {**site.environment(), "WARDSTREAM_LABELS__STORE": str(tmp_path / "labels")}.items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(cli, ["labels", *arguments])


def put(kafka: Kafka, *rows: Row | tuple[str, str] | tuple[str, str, bytes]) -> None:
    """Records of rows, withdrawals (topic, key), or any bytes (topic, key, value)."""
    log = Producer({"bootstrap.servers": kafka.bootstrap})
    for row in rows:
        if isinstance(row, Row):
            headers = Envelope(
                id=row.record.id, source="/t", type="t", time="2026-03-02T10:15:00Z", content_type=JSON, data_class=DataClass.INTERNAL, origin="o"
            ).headers()  # fmt: skip
            topic, key, value = TOPIC[row.kind], row.record.id, msgspec.json.encode(row.record)
            log.produce(kafka.topic_prefix + topic, key=key, value=value, headers=list(headers))
        else:
            log.produce(kafka.topic_prefix + row[0], key=row[1], value=row[2] if len(row) == 3 else None)
    assert log.flush(20) == 0


def erasure(subject: str) -> tuple[str, str, bytes]:
    return topics.ERASURE, subject, msgspec.json.encode(Erasure(id="e", time="2026-03-09T00:00:00Z", subject=subject))


def test_collected_once_shown_and_exported(run: Callable[..., Result], kafka: Kafka, tmp_path: Path) -> None:
    """What is new comes in, what was there does not come again; the export is what the training reader reads."""
    put(kafka, sample("a", weak={"f": "overridden"}), sample("b", reason="random"), label("l", "a"))
    first = run("collect", "--json")
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout)["added"] == 3
    put(kafka, label("k", "b", reviewer="r2"))
    assert json.loads(run("collect", "--json").stdout)["added"] == 1
    assert json.loads(run("collect", "--json").stdout)["added"] == 0
    shown = json.loads(run("show", "--json").stdout)
    assert (shown["samples"], shown["labels"], shown["weak"]) == (
        {"random": 1, "uncertain": 1},
        {"r1": 1, "r2": 1},
        {"overridden": 1},
    )
    assert shown["days"] == ["2026-03-02", "2026-03-03"]
    assert run("show").exit_code == 0
    out = tmp_path / "labels.jsonl"
    assert run("export", "--out", str(out)).exit_code == 0
    assert [document.text for document in read_reviewed(out)] == ["Text of a.", "Text of b."]
    assert len(run("export", "--kind", "sample").stdout.splitlines()) == 2


def test_a_run_that_was_cut_off_goes_on(kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between two batches or before a manifest: nothing is missing and nothing twice."""
    monkeypatch.setattr("ops.loop.collecting._BATCH", 3)
    rows = [sample(f"s{n}") for n in range(8)]
    put(kafka, *rows)
    store = LabelStore(str(tmp_path / "labels"))
    write, calls = store.write, []

    def cut(*arguments: object) -> int:
        calls.append(arguments)
        if len(calls) == 2:
            raise StoreUnavailable(path="labels.store")
        return write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "write", cut)
    with pytest.raises(StoreUnavailable):
        collect(kafka, store, lambda _: "", NOW)
    again = LabelStore(str(tmp_path / "labels"))
    assert len(again.samples()) == 3
    assert collect(kafka, again, lambda _: "", NOW).added == 5
    assert len(again.rows("sample")) == 8


def test_withdrawn_records_and_erased_patients_leave_the_store(kafka: Kafka, tmp_path: Path) -> None:
    """Whether the record was collected before or comes in the same run; a sample that comes after its patient's erasure stays out."""
    store = LabelStore(str(tmp_path / "labels"))
    put(kafka, sample("a"), sample("b", "W2"), sample("c", "W3"), label("l", "c", "W3"))
    assert collect(kafka, store, lambda _: "", NOW).added == 4
    put(kafka, sample("d", "W2"), (topics.SAMPLE, "a"), (topics.SAMPLE, "d"), erasure("W3"), sample("e", "W3"))
    done = collect(kafka, store, lambda _: "", NOW)
    assert (done.withdrawn, done.erased) == (2, 3)
    assert [one.id for one in store.samples()] == ["b"]
    assert store.labels() == []
    put(kafka, sample("f", "W3"), sample("g", "W2"))
    assert collect(kafka, store, lambda _: "", NOW).added == 1
    assert [one.id for one in store.samples()] == ["b", "g"]


def test_what_may_not_be_kept_is_passed_over_and_counted(run: Callable[..., Result], kafka: Kafka, tmp_path: Path) -> None:
    """A note with an identifier, however it came there, and what is no record of ours; without the check it would have been kept."""
    leaking = "Call Mr. John Smith, 555-867-5309."
    put(
        kafka,
        sample("a"),
        label("l", "x", note=text_note(leaking)),
        (topics.LABEL, "m", b"{}"),
        label("n", "a", decided="yesterday, 10:00"),
    )
    done = json.loads(run("collect", "--json").stdout)
    assert (done["added"], done["passed_over"]) == (1, {"leak": 1, "unreadable": 2})
    assert not [path for path in (tmp_path / "labels").rglob("*.*") if b"867-5309" in path.read_bytes()]
    blind = LabelStore(str(tmp_path / "blind"))
    assert collect(kafka, blind, lambda _: "", NOW).added == 2
    assert blind.labels()[0].note.text == leaking
    assert "passed over: leak" in run("collect", "--store", str(tmp_path / "third")).stdout


def test_a_released_model_that_saw_an_erased_patient_says_so(run: Callable[..., Result], kafka: Kafka, tmp_path: Path) -> None:
    """The release is told as before; a note beside it only where the store knows of an erasure."""
    admin.Admin(kafka).apply(admin.wanted(kafka, [topics.BY_NAME[topics.MODEL]]))
    bundle = "c" * 64
    release = ModelRelease(
        id="r", name="wardstream-entities", action="promote", champion=BundleRef("1.0.0", bundle), time="2026-03-09T00:00:00Z", agent="jane"
    )  # fmt: skip
    put(kafka, (topics.MODEL, release.name, msgspec.json.encode(release)))
    store = LabelStore(str(tmp_path / "labels"))
    store.write([label("l", "a")])
    store.record_training(bundle, ["l"], name=release.name, version="1.0.0", time=release.time, digest="d")
    before = CliRunner().invoke(cli, ["models", "show", release.name])
    assert (before.exit_code, before.stderr, json.loads(before.stdout)["name"]) == (0, "", release.name)
    assert run("models").exit_code == 0
    store.erase(["W1"], NOW)
    after = CliRunner().invoke(cli, ["models", "show", release.name])
    assert (after.stdout, after.stderr) == (
        before.stdout,
        "saw an erased patient: wardstream-entities 1.0.0 cccccccccccc; train it anew\n",
    )
    assert run("models").exit_code == 1


def test_without_a_store_the_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A coded error, no folder somewhere."""
    monkeypatch.delenv("WARDSTREAM_LABELS__STORE", raising=False)
    done = CliRunner().invoke(cli, ["labels", "show"])
    assert isinstance(done.exception, ConfigurationError)
    assert done.exception.path == "labels.store"
