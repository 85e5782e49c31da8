"""Released models on a running worker: swapped under load, refused when tampered with, taken back within ten seconds, and no store needed to start."""

from __future__ import annotations

import json
import shutil
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from benchmarks.hot_swap import NAME, Bench, bench, measure, worker
from benchmarks.rebundled import rebundled
from models.bundle import shelf_bundle
from models.store import digest_of
from ops.cli import cli
from ops.operators import account
from schemas.audit import AuditEntry
from schemas.envelope import parse_headers
from schemas.releases import BundleRef
from streams import topics
from streams.tail import tail

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def on(any_broker: str, redis_server: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(any_broker, redis_server, tmp_path) as running:
        yield running


def get(log: Path, path: str) -> str:
    port = next(json.loads(line)["port"] for line in log.read_text().splitlines() if '"starting"' in line)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return str(answer.read().decode())


def serving(log: Path) -> str:
    """Version of the champion by the worker's own metric."""
    rows = [r for r in get(log, "/metrics").splitlines() if r.startswith("wardstream_model_serving{") and 'role="champion"' in r]
    assert len(rows) == 1
    return rows[0].partition("@")[2].partition("#")[0]


def test_swaps_under_load_lose_double_and_mix_nothing(on: Bench) -> None:
    """The benchmark at small size: every note has one record of findings, made by the one version that it names."""
    result = measure(on, swaps=6, rate=10, baseline_s=2)
    assert (result["lost"], result["doubled"], result["mixed"]) == (0, 0, 0)
    assert result["applied"] == 6
    assert len(result["by_version"]) == 2


def test_a_tampered_bundle_never_serves(on: Bench) -> None:
    """The old one stays; metric, log and readiness say so; the next sound release is served."""
    assert on.heard(on.release(on.a)) == "applied"
    path = on.folder / "store" / NAME / on.b.digest / "model.onnx"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert on.heard(on.release(on.b)) == "refused"
    assert serving(on.log) == "9.0.1"
    assert 'wardstream_model_releases_total{outcome="refused",stage="extract"} 1.0' in get(on.log, "/metrics")
    assert f"release {on.b.digest[:12]} is refused" in get(on.log, "/readyz")
    on.send(range(20), 50)
    assert {(parse_headers(r.headers).model or "").partition("#")[0] for r in on.found(20)} == {f"{NAME}@9.0.1"}
    path.write_bytes(whole)
    assert on.heard(on.release(on.b)) == "applied"
    assert serving(on.log) == "9.0.2"
    assert get(on.log, "/readyz") == "ok\n"


def test_a_worker_that_starts_while_the_store_is_down_serves_the_shelf_and_says_so(on: Bench, tmp_path: Path) -> None:
    """Ready, with a note; when the store comes back it serves what is released, without a restart."""
    assert on.heard(on.release(on.a)) == "applied"
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "store").rename(tmp_path / "away")
    with worker(on.settings, tmp_path) as (_, log):
        ready = get(log, "/readyz")
        assert ready.startswith("ok\n")
        assert f"release {on.a.digest[:12]} is waiting" in ready
        assert serving(log) == shelf_bundle(NAME).name
        (tmp_path / "away").rename(tmp_path / "store")
        deadline = time.monotonic() + 30
        while serving(log) != "9.0.1":
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_the_command_promotes_and_takes_back_within_ten_seconds(on: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused without a verdict and without the role; a dry run releases nothing; a rollback serves within 10 s; all of it audited."""
    settings = on.settings
    for name, value in {
        "KAFKA__BOOTSTRAP": settings.kafka.bootstrap,
        "KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        "MODELS__STORE": settings.models.store,
        "MODELS__CACHE": str(settings.models.cache),
        "MODELS__TRUSTED_KEYS": str(settings.models.trusted_keys),
    }.items():
        monkeypatch.setenv(f"WARDSTREAM_{name}", value)
    new = rebundled(on.folder, on.key, "9.1.0")

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli, ["models", *arguments])
        return (0 if done.exception is None else 1), done.output

    assert run("promote", str(new))[0] == 1  # no verdict
    assert run("promote", str(new), "--without-verdict")[0] == 1  # no role
    monkeypatch.setenv("WARDSTREAM_OPERATORS__RELEASE", json.dumps([account()]))
    code, said = run("promote", str(new), "--without-verdict", "--dry-run")
    assert (code, said.startswith("would promote")) == (0, True)
    assert f"{NAME}  {shelf_bundle(NAME).name}" in run("list")[1]
    assert run("promote", str(new), "--without-verdict")[0] == 0
    until(on, "9.1.0")
    assert BundleRef("9.1.0", digest_of(new)).digest in run("show", NAME)[1]
    began = time.monotonic()
    assert run("rollback", NAME)[0] == 0
    took = until(on, shelf_bundle(NAME).name) - began
    assert took < 10
    assert run("rollback", NAME)[0] == 1  # nothing to go back to
    entries = [msgspec.json.decode(r.value or b"", type=AuditEntry) for r in tail(settings.kafka, [topics.AUDIT], to_end=True)]
    told = sorted((e.time, e.action, e.outcome, e.record) for e in entries)
    digest = digest_of(new)
    assert [row[1:] for row in told] == [
        ("promote", "failure", ""),
        ("promote", "success", f"{digest} override"),
        ("rollback", "success", digest_of(shelf_bundle(NAME))),
    ]


def until(on: Bench, version: str) -> float:
    """The instant at which the worker serves it."""
    deadline = time.monotonic() + 60
    while serving(on.log) != version:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return time.monotonic()
