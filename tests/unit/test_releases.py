"""What releases rest on: lending and swapping, the canary's share, the store's checks, what may be released, the gate."""

from __future__ import annotations

import math
import threading
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import structlog

from agents.extract.step import Extractor
from agents.following import line_up
from benchmarks.rebundled import own_key, rebundled
from models.bundle import MANIFEST, load_manifest
from models.golden import GOLDEN
from models.serving import Serving
from models.store import BundleStore
from models.verdict import read_verdict, write_verdict
from ops.audited import Act
from ops.loop.releasing import OVERRIDE, planned, rolled_back
from schemas.errors import ConfigurationError, StoreUnavailable
from schemas.releases import BundleRef, Canary, ModelRelease, in_canary
from schemas.verdicts import GateVerdict
from streams.releases import Follower
from streams.settings import Models, Settings
from tests.support.extract import WordTagger
from training.challenge import Figures, challenge

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACT = Act("act-1", "somebody", "HOPERAT", NOW)
NAME = "wardstream-entities"
OLD = BundleRef("0.4.0", "0" * 64)


class Thing:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def test_a_swap_waits_for_nobody_and_the_last_borrower_closes() -> None:
    """Who has borrowed keeps what was current; it is closed once, when the last of them is done."""
    old, new = Thing(), Thing()
    serving = Serving(old)
    with serving.borrowed() as first, serving.borrowed() as second:
        serving.swap(new)
        with serving.borrowed() as later:
            assert (first, second, later) == (old, old, new)
        assert old.closed == 0
    assert (old.closed, new.closed) == (1, 0)
    serving.close()
    serving.close()
    assert (old.closed, new.closed) == (1, 1)


def test_nothing_is_used_after_it_was_closed_under_contention() -> None:
    """Borrowers in several threads never see a closed thing while others swap."""
    serving, stop, bad = Serving(Thing()), threading.Event(), []

    def use() -> None:
        while not stop.is_set():
            with serving.borrowed() as thing:
                bad.extend([thing] if thing.closed else [])

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    made = [Thing() for _ in range(500)]
    for thing in made:
        serving.swap(thing)
    stop.set()
    for thread in threads:
        thread.join()
    assert not bad
    assert [thing.closed for thing in made] == [1] * 499 + [0]


def test_a_canary_keeps_its_patients_while_its_share_grows() -> None:
    """The share is met within chance (5 standard errors); a larger share holds the smaller one; another bundle draws others."""
    tokens = [f"wspt-{n}" for n in range(20_000)]

    def drawn(share: float, digest: str = "a" * 64) -> set[str]:
        canary = Canary(bundle=BundleRef("1", digest), share=share)
        return {token for token in tokens if in_canary(canary, token)}

    few, more = drawn(0.1), drawn(0.3)
    assert few < more
    assert abs(len(few) / len(tokens) - 0.1) < 5 * math.sqrt(0.1 * 0.9 / len(tokens))
    assert drawn(0.1, "b" * 64) != few


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return own_key(tmp_path)


@pytest.fixture
def store(tmp_path: Path, key: Path) -> BundleStore:
    return BundleStore(str(tmp_path / "store"), tmp_path / "cache", trusted_keys=tmp_path / "trusted")


def test_what_was_stored_comes_back_verified(tmp_path: Path, key: Path, store: BundleStore) -> None:
    """By its digest, whole; a damaged copy in the cache is fetched anew."""
    ref = store.put(rebundled(tmp_path, key, "9.0.1"))
    folder, manifest = store.fetch(NAME, ref)
    assert (manifest.version, folder.parent.parent) == ("9.0.1", tmp_path / "cache")
    (folder / "model.onnx").write_bytes(b"x")
    again, _ = store.fetch(NAME, ref)
    assert (again / "model.onnx").stat().st_size > 1


@pytest.mark.parametrize("file", ["model.onnx", "golden.json", MANIFEST, "manifest.sig"])
def test_a_tampered_bundle_is_refused(tmp_path: Path, key: Path, store: BundleStore, file: str) -> None:
    """Whatever file of it was changed in the store; nothing of it stays in the cache."""
    ref = store.put(rebundled(tmp_path, key, "9.0.1"))
    path = tmp_path / "store" / NAME / ref.digest / file
    path.write_bytes(path.read_bytes()[:-2] + b"  ")
    with pytest.raises(ConfigurationError):
        store.fetch(NAME, ref)
    assert not (tmp_path / "cache" / NAME / ref.digest).exists()


def test_a_bundle_of_a_stranger_is_refused(tmp_path: Path, key: Path) -> None:
    """A sound bundle by a key that is not trusted."""
    trusting = BundleStore(str(tmp_path / "store"), tmp_path / "cache", trusted_keys=tmp_path / "trusted")
    ref = trusting.put(rebundled(tmp_path, key, "9.0.1"))
    with pytest.raises(ConfigurationError, match="trusted"):
        BundleStore(str(tmp_path / "store"), tmp_path / "cache2").fetch(NAME, ref)


@pytest.mark.parametrize("url", ["", "/nowhere/at/all"])
def test_a_store_that_is_away_may_come_back(tmp_path: Path, url: str) -> None:
    """No store, or nothing under the digest: retryable, not refused."""
    with pytest.raises(StoreUnavailable):
        BundleStore(url, tmp_path / "cache").fetch(NAME, BundleRef("9.9", "1" * 64))


def test_a_model_that_answers_otherwise_is_refused(tmp_path: Path, key: Path, store: BundleStore) -> None:
    """A signed bundle whose golden answers do not hold (thresholds that nothing reaches) never serves."""
    spoiled = rebundled(tmp_path, key, "9.0.3", thresholds={"medication": 0.9999, "problem": 0.9999})
    assert (spoiled / GOLDEN).exists()
    release = ModelRelease(id="r", name=NAME, action="promote", champion=store.put(spoiled), time="", agent="")
    with pytest.raises(ConfigurationError, match="answers otherwise"):
        line_up(release, store, Models(execution="cpu", threads=1), Extractor(WordTagger({})).with_tagger)


def figures(**changes: object) -> Figures:
    row = {"f1": 0.9, "recall": 0.9, "support": 1000.0}
    base: dict[str, object] = {
        "gold": {"gold": row}, "newest": {"newest": row}, "classes": {"medication": row, "rare": {"recall": 1.0, "support": 3.0}},
        "subgroups": {"sender a": row}, "leaks": {"canaries": 0}, "seconds": 1.0,
    }  # fmt: skip
    return Figures(**(base | changes))  # type: ignore[arg-type]


def verdict(challenger: Figures, champion: Figures | None = None) -> GateVerdict:
    return challenge(NAME, (OLD.digest, champion or figures()), ("1" * 64, challenger), evidence={}, now=NOW)


def test_an_equal_challenger_passes_and_small_classes_are_not_judged() -> None:
    """It holds; three mentions of a class decide nothing."""
    said = verdict(figures(classes={"medication": {"recall": 0.9, "support": 1000.0}}))
    assert said.passed
    assert {row.kind for row in said.judged} == {"gold", "newest", "class", "subgroup", "leak", "speed"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"gold": {"gold": {"f1": 0.85}}}, "gold gold"),
        ({"newest": {"newest": {"f1": 0.85}}}, "newest newest"),
        ({"newest": {}}, "newest newest"),
        ({"classes": {"medication": {"recall": 0.8}}}, "class medication"),
        ({"subgroups": {"sender a": {"recall": 0.8}}}, "subgroup sender a"),
        ({"leaks": {"canaries": 1}}, "leak canaries"),
        ({"leaks": {}}, "leak canaries"),
        ({"seconds": 1.3}, "speed seconds"),
        ({"seconds": float("nan")}, "speed seconds"),
    ],
)
def test_each_loss_alone_fails(changes: dict[str, object], reason: str) -> None:
    """One thing worse than allowed, or not measured, is enough, and the verdict names it."""
    said = verdict(figures(**changes))
    assert not said.passed
    assert [row.split(":")[0] for row in said.reasons] == [reason]


def test_a_gate_that_was_shown_nothing_is_closed() -> None:
    """Without newest labels and leak tests of the champion nothing passes."""
    bare = figures(newest={}, leaks={})
    assert verdict(bare, bare).reasons == ("newest: nothing was measured", "leak: nothing was measured")


def test_a_verdict_counts_only_with_its_signature(tmp_path: Path, key: Path) -> None:
    """Read back as written; one changed byte and it is none."""
    path, said = tmp_path / "verdict.json", verdict(figures(seconds=2.0))
    write_verdict(path, said, key)
    assert read_verdict(path, trusted_keys=tmp_path / "trusted")[0] == said
    path.write_bytes(path.read_bytes().replace(b'"passed": false,\n "reasons"', b'"passed": true,\n "reasons"'))
    with pytest.raises(ConfigurationError, match="signature"):
        read_verdict(path, trusted_keys=tmp_path / "trusted")


def test_promotion_asks_for_a_passing_verdict_of_this_bundle_against_what_serves(tmp_path: Path, key: Path) -> None:
    """None, a failed one, of another bundle, against another champion: refused; the override is named in the release."""
    manifest, new = (
        load_manifest(rebundled(tmp_path, key, "9.0.1"), trusted_keys=tmp_path / "trusted"),
        BundleRef("9.0.1", "1" * 64),
    )
    good = verdict(figures())
    for said in (
        None,
        verdict(figures(seconds=2.0)),
        msgspec.structs.replace(good, challenger="2" * 64),
        msgspec.structs.replace(good, champion="2" * 64),
        msgspec.structs.replace(good, model="other"),
    ):
        given = None if said is None else (said, "d")
        with pytest.raises(ConfigurationError, match=r"verdict|gate"):
            planned(manifest, new, None, ACT, serving=OLD, verdict=given)
        forced = planned(manifest, new, None, ACT, serving=OLD, verdict=given, override=True)
        assert (forced.overridden, forced.verdict) == (OVERRIDE, "")
    made = planned(manifest, new, None, ACT, serving=OLD, verdict=(good, "d"))
    assert (made.champion, made.previous, made.verdict, made.overridden) == (new, OLD, "d", "")


def test_a_rollback_takes_the_canary_first_and_then_the_champion(tmp_path: Path, key: Path) -> None:
    """One step each; after them there is nothing to go back to."""
    manifest, new = (
        load_manifest(rebundled(tmp_path, key, "9.0.1"), trusted_keys=tmp_path / "trusted"),
        BundleRef("9.0.1", "1" * 64),
    )
    champion = planned(manifest, new, None, ACT, serving=OLD, verdict=(verdict(figures()), "d"))
    trial = BundleRef("9.0.2", "3" * 64)
    canary = planned(manifest, trial, champion, ACT, serving=new, share=0.2, override=True)
    assert (canary.champion, canary.canary) == (new, Canary(bundle=trial, share=0.2))
    first = rolled_back(canary, ACT)
    assert (first.champion, first.canary, first.previous) == (new, None, OLD)
    second = rolled_back(first, ACT)
    assert (second.champion, second.previous) == (OLD, None)
    with pytest.raises(ConfigurationError):
        rolled_back(second, ACT)


def test_an_unexpected_error_does_not_end_the_following(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk while a release is fetched: told as waiting, tried again, applied."""
    monkeypatch.setattr("streams.releases.RETRY_S", 0.01)
    release = ModelRelease(id="1", name="m", action="promote", champion=OLD, time="2026-01-01T00:00:00Z", agent="a")
    tried: list[ModelRelease] = []
    told: list[object] = []
    applied = threading.Event()

    def apply(wanted: ModelRelease) -> None:
        tried.append(wanted)
        if len(tried) < 3:
            raise OSError(28, "no space left")
        applied.set()

    follower = Follower(Settings().kafka, "m", apply, lambda wanted, error: told.append(error), structlog.get_logger())
    follower._wanted, follower._live = release, True
    follower._threads[1].start()
    assert applied.wait(5)
    follower._stop.set()
    follower.stop()
    assert [type(error) for error in told[:2]] == [StoreUnavailable, StoreUnavailable]
