"""The store of samples and labels, the same suite on a local folder and on an S3 API: written once, verified, erasable, and never half."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import fsspec  # type: ignore[import-untyped]
import msgspec
import pytest

from schemas.errors import ConfigurationError, StoreUnavailable
from schemas.samples import Sample
from streams.embedded import free_port
from tests.support.labels import label, sample
from training.label_store.rows import Row
from training.label_store.store import LabelStore

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an S3 API that a process of its own serves."""
    port = free_port()
    log = tmp_path_factory.mktemp("s3") / "log"
    endpoint = f"http://127.0.0.1:{port}"
    values = {
        "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, log.open("wb") as out:
        for name, value in values.items():
            patch.setenv(name, value)
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | values)
        try:
            client = boto3.client("s3")
            deadline = time.monotonic() + 60
            while True:
                try:
                    client.create_bucket(Bucket="labels")
                    break
                except Exception:
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.2)
            yield "s3://labels"
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture(params=["folder", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "labels")
    return f"{request.getfixturevalue('s3')}/{uuid.uuid4().hex}"


def files(address: str) -> dict[str, bytes]:
    """Everything that lies there, by path."""
    system, root = fsspec.core.url_to_fs(address)
    system.invalidate_cache()
    return {str(path)[len(root.rstrip("/")) + 1 :]: system.cat_file(path) for path in system.find(root)}


def test_what_is_written_is_read(address: str) -> None:
    """Exact records, partitions by kind and day, parts by digest, columns for people."""
    store = LabelStore(address)
    rows = [
        sample("a", why=("random: share 0.01",), weak={"f": "overridden"}),
        label("l", "a"),
        label("k", "b", decided="2026-03-04T00:30:00+01:00"),
    ]
    assert store.write(rows) == 3
    assert store.samples() == [rows[0].record]
    assert LabelStore(address).labels() == [rows[1].record, rows[2].record]
    paths = [path for path in files(address) if path.endswith(".parquet")]
    assert sorted(path.rpartition("/")[0] for path in paths) == [
        "kind=label/day=2026-03-03", "kind=label/day=2026-03-04", "kind=sample/day=2026-03-02",
    ]  # fmt: skip
    pandas = pytest.importorskip("pyarrow.parquet")
    (path,) = [path for path in paths if path.startswith("kind=sample")]
    (row,) = pandas.read_table(fsspec.open(f"{address}/{path}", "rb").open()).to_pylist()
    assert (row["id"], row["reason"], row["text"], row["why"]) == ("a", "uncertain", "Text of a.", ["random: share 0.01"])
    assert msgspec.json.decode(row["record"], type=Sample) == rows[0].record


def test_the_same_rows_are_the_same_store(address: str) -> None:
    """Twice, in another order, in another store: the same names, the same bytes, the same digest."""
    rows = [sample(name) for name in "abc"] + [label("l", "a")]
    store = LabelStore(address)
    assert store.write(rows) == 4
    before, digest = files(address), store.manifest().digest
    assert store.write(rows[::-1]) == 0
    assert files(address) == before
    other = LabelStore(f"{address}-other")
    other.write(rows[::-1])
    assert other.manifest().digest == digest
    assert files(f"{address}-other") == before
    store.write([sample("d")])
    assert store.manifest().digest != digest


def test_the_newest_verdict_of_each_reviewer(address: str) -> None:
    """By the time of decision, whatever came last; another reviewer's stands beside; of a sample the newest record."""
    store = LabelStore(address)
    newest = label("l2", "a", decided="2026-03-03T12:00:00+02:00")  # 10:00 UTC, later in the log
    store.write([label("l3", "a", decided="2026-03-03T09:00:00Z", at=9), label("l1", "a", at=1)])
    store.write(
        [msgspec_at(newest, 2), label("other", "a", reviewer="r2"), sample("a", at=1), sample("a", at=2, weak={"f": "accepted"})]
    )
    assert {one.id for one in store.labels()} == {"l2", "other"}
    (found,) = store.samples()
    assert found.weak == {"f": "accepted"}


def msgspec_at(row: Row, at: int) -> Row:
    return Row(row.kind, row.day, at, row.record)


def test_a_damaged_part_is_refused(address: str) -> None:
    """One byte, and nothing of the part is believed; the same store undamaged is read."""
    store = LabelStore(address)
    store.write([label("l", "a")])
    assert store.labels()
    (path,) = [path for path in files(address) if path.endswith(".parquet")]
    content = bytearray(files(address)[path])
    content[len(content) // 2] ^= 1
    system, root = fsspec.core.url_to_fs(address)
    system.pipe_file(f"{root}/{path}", bytes(content))
    with pytest.raises(ConfigurationError, match="not what the manifest says"):
        LabelStore(address).labels()
    system.rm_file(f"{root}/{path}")
    with pytest.raises(StoreUnavailable):
        LabelStore(address).labels()


def test_a_part_that_no_manifest_names_is_not_read(address: str) -> None:
    """A writer that died before its manifest left nothing; an erasure sweeps it away after an hour, text and all."""
    store = LabelStore(address)
    other = LabelStore(f"{address}-other")
    other.write([label("x", "b", subject="W2")])
    store.write([label("l", "a")])
    ((path, content),) = [row for row in files(f"{address}-other").items() if row[0].endswith(".parquet")]
    system, root = fsspec.core.url_to_fs(address)
    system.pipe_file(f"{root}/{path}", content)
    assert [one.id for one in store.labels()] == ["l"]
    store.erase(["W3"], datetime.now(UTC))
    assert path in files(address)
    store.erase(["W3"], datetime.now(UTC) + timedelta(hours=2))
    assert path not in files(address)
    assert [one.id for one in store.labels()] == ["l"]


def test_two_writers_lose_nothing(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second finds that the first was there, and begins again from there."""
    first, second = LabelStore(address), LabelStore(address)
    first.write([label("a", "a")])
    put = second._put

    def slow(folder: str, content: bytes, rows: int) -> Any:
        monkeypatch.setattr(second, "_put", put)
        first.write([label("b", "b")])
        return put(folder, content, rows)

    monkeypatch.setattr(second, "_put", slow)
    second.write([label("c", "c")])
    assert [one.id for one in first.labels()] == ["a", "b", "c"]


def test_an_erasure_while_somebody_writes(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the writer had put there already for the patient is taken away again, whole parts too."""
    writer, eraser = LabelStore(address), LabelStore(address)
    writer.write([label("k", "b", "W2")])
    create = writer._files.create

    def late(path: str, content: bytes) -> None:
        monkeypatch.setattr(writer._files, "create", create)
        assert [each for each in files(address).values() if b"PAR1" in each[:4]][1:]  # the part is there
        eraser.erase(["W1"], NOW)
        create(path, content)

    monkeypatch.setattr(writer._files, "create", late)
    assert writer.write([label("l", "a"), label("m", "c", "W2", decided="2026-03-05T10:00:00Z")]) == 1
    assert [one.id for one in writer.labels()] == ["k", "m"]
    assert len([path for path in files(address) if path.endswith(".parquet")]) == 2


def test_an_erased_patient_is_gone(address: str) -> None:
    """No byte of the patient's texts is left, others' records stay, and nothing of the patient comes in again."""
    store = LabelStore(address)
    mine, theirs = [sample("a"), label("l", "a")], [sample("b", "W2"), label("k", "b", "W2")]
    store.write(mine + theirs)
    found = store.erase(["W1"], NOW)
    assert (found.samples, found.labels, found.models) == (1, 1, ())
    assert [one.id for one in store.samples()] == ["b"]
    assert [one.id for one in store.labels()] == ["k"]
    everything = files(address)
    assert len([path for path in everything if path.endswith(".parquet")]) == 2
    assert not [path for path, content in everything.items() if b"Text of a." in content]
    assert store.write(mine) == 0
    again = store.erase(["W1"], NOW + timedelta(days=1))
    assert (again.samples, again.labels) == (0, 0)
    assert store.manifest().erased == {"W1": "2026-03-10T12:00:00.000+00:00"}


def test_models_that_saw_an_erased_patient_say_so(address: str) -> None:
    """Only those; also one whose training is recorded after the erasure, and one whose label was withdrawn before it."""
    store = LabelStore(address)
    store.write([label("l", "a"), label("k", "b", "W2"), label("m", "c", "W3")])
    digest = store.manifest().digest
    for bundle, ids in (("b1", ["l", "k"]), ("b2", ["k"]), ("b3", ["m"])):
        store.record_training(bundle, ids, name="n", version=bundle, time="2026-03-09T00:00:00Z", digest=digest)
    assert not any(one.erased for one in store.manifest().trained.values())
    found = store.erase(["W1"], NOW)
    assert [one.bundle for one in found.models] == ["b1"]
    assert {name: set(one.erased) for name, one in store.manifest().trained.items()} == {"b1": {"W1"}, "b2": set(), "b3": set()}
    late = store.record_training("b4", ["l"], name="n", version="4", time="2026-03-11T00:00:00Z", digest=digest)
    assert set(late.erased) == {"W1"}
    store.write([], withdrawn=["m"])
    assert [one.id for one in store.labels()] == ["k"]
    assert [one.bundle for one in store.erase(["W3"], NOW).models] == ["b3"]


def test_a_withdrawn_record_may_come_again(address: str) -> None:
    """What is added after its withdrawal stays; offsets are kept with what was read up to them."""
    store = LabelStore(address)
    store.write([sample("a"), sample("b")], {"t": {0: 2}})
    store.write([sample("a", at=5)], {"t": {1: 7}}, withdrawn=["a", "b"])
    assert [one.id for one in store.samples()] == ["a"]
    assert store.manifest().offsets == {"t": {0: 2, 1: 7}}


def test_a_store_without_address_driver_or_answer(tmp_path: Path) -> None:
    """Coded errors: configuration for what people must mend, retryable for what comes back."""
    with pytest.raises(ConfigurationError, match="no store is set"):
        LabelStore("")
    with pytest.raises(ConfigurationError, match="driver"):
        LabelStore("nonsense://x")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnavailable):
        LabelStore(str(tmp_path / "file" / "x")).write([sample("a")])
    folder = tmp_path / "labels"
    (folder / "manifests").mkdir(parents=True)
    (folder / "manifests" / "0000000001.json").write_text("{")
    with pytest.raises(ConfigurationError, match="manifest"):
        LabelStore(str(folder)).labels()


def test_without_the_extra_the_rest_runs(tmp_path: Path) -> None:
    """Importing the store needs no Parquet; opening one names the extra."""
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from training.label_store.store import LabelStore\n"
        "from schemas.errors import ConfigurationError\n"
        "try: LabelStore(sys.argv[1])\n"
        "except ConfigurationError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "install the extra store" in done.stdout
