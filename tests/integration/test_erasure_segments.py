"""Erasure as it lies on the disk of a real Apache Kafka: sealed messages stay and open no more, samples go from the segments."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from agents.vault.contract import Kind, PatientRequest, VaultRequest, link, wanted
from agents.vault.vault import open_vault
from ops.cli import cli
from ops.operators import account
from schemas.envelope import HL7_V2
from schemas.errors import Reason, UnsupportedContent
from schemas.identity import Identifier, Person, PersonName, Role
from streams import admin, kafka_local, topics
from streams.key_encryption.file import master_key
from streams.sealing import open_seal
from streams.settings import Settings, load

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.timeout(240),
    pytest.mark.usefixtures("real_kafka"),
]  # which skips, or fails in CI, where Kafka is missing

RAW = b"MSH|^~\\&|LAB|NORTHGATE\rPID|1||100200307^^^NORTHGATE^MR||Quillfeather^Jonas\r"
NOTE = "a sample of the patient whose words are velvet-marmalade"
NAMES = (topics.AUDIT, topics.ERASURE, topics.SAMPLE, topics.LABEL, topics.RECEIVED)
PERSON = Person(
    role=Role.PATIENT,
    names=(PersonName(family="Quillfeather", given=("Jonas",)),),
    identifiers=(Identifier(value="100200307", system="NORTHGATE", type="MR"),),
)
REQUEST = VaultRequest(
    patients=(PatientRequest(person=PERSON, links=(link("northgate", "100200307"),)),), fallback=wanted(Kind.MESSAGE, "m")
)


async def sealed_for(settings: Settings) -> tuple[str, bytes]:
    """The patient's token, and the message as the door stores it."""
    door, vault = await open_seal(settings, cache_s=0), await open_vault(settings)
    (answer,) = await vault.resolve([REQUEST])
    sealed = await door.seal(b"ab12", HL7_V2, RAW)
    await vault.remember_payload_keys([(answer.subject, b"ab12")])
    await vault.close()
    await door.close()
    return answer.subject, sealed


async def opened(settings: Settings, sealed: bytes) -> bytes | Reason:
    seal = await open_seal(settings, cache_s=0)
    try:
        return await seal.unseal(b"ab12", HL7_V2, sealed)
    except UnsupportedContent as error:
        return error.reason
    finally:
        await seal.close()


def on_disk(data: Path, topic: str) -> bytes:
    """Everything that the broker keeps of the topic in segments."""
    return b"".join(path.read_bytes() for path in sorted(data.glob(f"*{topic}-*/*.log")))


def test_after_an_erasure_the_segments_tell_nothing(redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before: the sample in clear, the raw message sealed, opening. After: the same sealed bytes, opening never again, in the topic and
    among its dead letters; of the sample not a word, once the broker has compacted."""
    key = tmp_path / "master.key"
    key.write_text(master_key())
    with kafka_local.kafka(tmp_path / "kafka", extra={"log.cleaner.backoff.ms": "500"}) as server:
        data = tmp_path / "kafka" / "data"
        for name, value in {
            "KAFKA__BOOTSTRAP": server.address,
            "KAFKA__PARTITIONS": "1",
            "REDIS__URL": redis_server,
            "KAFKA__TOPIC_PREFIX": f"t{uuid.uuid4().hex[:8]}.",
            "SECRETS__MASTER_KEY_FILE": str(key),
            "DEID__TENANT": uuid.uuid4().hex,
            "OPERATORS__ERASE": json.dumps([account()]),
        }.items():
            monkeypatch.setenv(f"WARDSTREAM_{name}", value)
        settings = load()
        prefix = settings.kafka.topic_prefix
        rows = admin.wanted(settings.kafka, [topics.BY_NAME[name] for name in NAMES])
        quick = {
            "max.compaction.lag.ms": "1000",
            "segment.ms": "1000",
            "delete.retention.ms": "0",
            "min.cleanable.dirty.ratio": "0.01",
        }
        for row in rows:
            if row.config["cleanup.policy"] != "delete":
                assert int(row.config["max.compaction.lag.ms"]) <= 7 * topics.DAY
                row.config.update(quick)
        admin.Admin(settings.kafka).apply(rows)
        assert CliRunner().invoke(cli, ["keys", "init"]).exit_code == 0
        token, sealed = asyncio.run(sealed_for(settings))
        log = Producer({"bootstrap.servers": server.address})
        for topic in (topics.RECEIVED, topics.dead_letter(topics.RECEIVED)):
            log.produce(prefix + topic, key=b"ab12", value=sealed)
        log.produce(prefix + topics.SAMPLE, key=b"s1", value=json.dumps({"subject": token, "note": NOTE}))
        assert log.flush(20) == 0
        assert b"velvet-marmalade" in on_disk(data, topics.SAMPLE)
        assert asyncio.run(opened(settings, sealed)) == RAW

        assert CliRunner().invoke(cli, ["erase", token, "--yes"]).exit_code == 0

        deadline = time.monotonic() + 90
        while b"velvet-marmalade" in on_disk(data, topics.SAMPLE):
            assert time.monotonic() < deadline, "the broker did not compact"
            time.sleep(2)
            log.produce(prefix + topics.SAMPLE, key=b"other", value=b"{}")  # the stream goes on: a new segment begins
            log.flush(20)
        for topic in (topics.RECEIVED, topics.dead_letter(topics.RECEIVED)):
            kept = on_disk(data, topic)
            assert sealed in kept
            assert b"Quillfeather" not in kept
        assert asyncio.run(opened(settings, sealed)) is Reason.PAYLOAD_ERASED
        whole = b"".join(path.read_bytes() for path in data.rglob("*.log"))
        assert not [word for word in (b"Quillfeather", b"100200307", b"velvet-marmalade") if word in whole]
