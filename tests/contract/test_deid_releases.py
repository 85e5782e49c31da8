"""De-identification follows the releases of its PHI model, and fails closed: what does not verify never reads a message."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from agents.deidentify.agent import DeidentifyStage
from agents.following import Lineup
from agents.vault.memory import MemoryVault
from benchmarks.rebundled import own_key, rebundled
from models.bundle import shelf_bundle
from models.store import BundleStore
from ops.audited import Act
from ops.loop.releasing import release
from schemas.envelope import parse_headers
from schemas.releases import BundleRef, Canary, ModelRelease
from streams import admin
from streams.health import Health
from streams.metrics import StreamMetrics
from streams.producer import Producer
from streams.settings import Kafka, Models, Settings
from streams.stage import Done
from tests.support.deid import ORU
from tests.unit.test_deid_agent import record

NAME = "wardstream-phi"


@pytest.fixture
def settings(embedded_kafka: str, tmp_path: Path) -> Settings:
    own_key(tmp_path)
    chosen = Models(
        store=str(tmp_path / "store"), cache=tmp_path / "cache", trusted_keys=tmp_path / "trusted", execution="cpu", threads=1
    )
    made = Settings(kafka=Kafka(bootstrap=embedded_kafka, topic_prefix=f"p{uuid4().hex[:8]}."), models=chosen)
    admin.apply(made.kafka)
    return made


async def say(settings: Settings, champion: BundleRef, canary: Canary | None = None) -> None:
    act = Act(str(uuid4()), "test", "HOPERAT", datetime.now(UTC))
    made = ModelRelease(id=act.id, name=NAME, action="promote", champion=champion, canary=canary, time=act.time, agent=act.agent)
    log = Producer(settings.kafka, client_id="test", linger_ms=0)
    await release(log, made, act)
    await log.close()


async def policy(stage: DeidentifyStage, key: bytes = b"routing-key") -> str:
    """The policy that the stage's next message names."""
    (outcome,) = await stage.process([replace(record(ORU), key=key)])
    assert isinstance(outcome, Done)
    return parse_headers(outcome.outputs[0].headers).policy or ""


async def until(stage: DeidentifyStage, said: str, key: bytes = b"routing-key") -> None:
    deadline = time.monotonic() + 60
    while f"/{NAME}@{said}#" not in await policy(stage, key):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)


async def test_it_swaps_to_what_is_released_and_refuses_what_was_tampered_with(settings: Settings, tmp_path: Path) -> None:
    """Every message names the model that read it; a bundle with one changed byte leaves the old one serving, and readiness says so."""
    key, chosen = tmp_path / "own.pem", settings.models
    store = BundleStore(chosen.store, chosen.cache, trusted_keys=chosen.trusted_keys)
    good, bad = (store.put(rebundled(tmp_path, key, version, name=NAME)) for version in ("9.0.1", "9.0.2"))
    file = tmp_path / "store" / NAME / bad.digest / "model.onnx"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    stage, health = DeidentifyStage(settings, vault=MemoryVault(seed=3)), Health()
    stage.observe(StreamMetrics(), health)
    await stage.open()
    try:
        await until(stage, shelf_bundle(NAME).name)
        await say(settings, good)
        await until(stage, "9.0.1")
        assert not health.notes
        await say(settings, bad)
        deadline = time.monotonic() + 60
        while not health.notes:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        assert f"release {bad.digest[:12]} is refused" in health.notes[NAME]
        await until(stage, "9.0.1")
    finally:
        await stage.close()


async def test_a_canary_reads_for_a_share_of_the_record_keys_and_never_without_one(settings: Settings, tmp_path: Path) -> None:
    """Who is in stays in; an engine's record without a key is the champion's."""
    key, chosen = tmp_path / "own.pem", settings.models
    store = BundleStore(chosen.store, chosen.cache, trusted_keys=chosen.trusted_keys)
    one, other = (store.put(rebundled(tmp_path, key, version, name=NAME)) for version in ("9.0.1", "9.0.2"))
    canary = Canary(bundle=other, share=0.5)
    stage = DeidentifyStage(settings, vault=MemoryVault(seed=3))
    await say(settings, one, canary)
    await stage.open()
    try:
        drawn = {k: ("9.0.2" if Lineup(1, 2, canary).of(str(k).encode().hex()) == 2 else "9.0.1") for k in range(4)}  # type: ignore[arg-type]
        for number, version in drawn.items():
            await until(stage, version, str(number).encode())
        assert set(drawn.values()) == {"9.0.1", "9.0.2"}
        await until(stage, "9.0.1", b"")
    finally:
        await stage.close()
