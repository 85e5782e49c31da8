"""De-identification of sealed records, on a real Redis: the same result as in clear, and after an erasure none at all."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from agents.deidentify.agent import DeidentifyStage
from agents.deidentify.policy import load_policy
from agents.deidentify.step import Deidentified, Deidentifier, Prepared
from agents.vault.contract import Pseudonyms
from agents.vault.vault import open_vault
from ops.stack import make_keyring
from schemas.deidentified import decode_map
from schemas.envelope import HL7_V2, parse_headers
from schemas.errors import LeakDetected, Reason, UnsupportedContent
from schemas.merges import Merge
from streams import topics
from streams.key_encryption.file import master_key
from streams.record import Record
from streams.sealing import is_sealed, open_seal
from streams.settings import Deid, Redis, Secrets, Settings
from streams.stage import Done, Outcome, Refused

ADT = (
    b"MSH|^~\\&|LAB|NORTHGATE|EHR|NORTHGATE|20240102030405||ADT^A01|M1|P|2.5.1\r"
    b"PID|1||100200307^^^NORTHGATE^MR||Quillfeather^Jonas||19500102|M\rPV1|1|I\r"
)


@pytest.fixture
def settings(redis_server: str, tmp_path: Path) -> Settings:
    key = tmp_path / "master.key"
    key.write_text(master_key())
    return Settings(
        redis=Redis(url=redis_server),
        secrets=Secrets(master_key_file=key),
        deid=Deid(use_model=False, tenant=uuid.uuid4().hex),
    )


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[DeidentifyStage]:
    await make_keyring(settings)
    made = DeidentifyStage(settings)
    await made.open()
    yield made
    await made.close()


def record(value: bytes, offset: int) -> Record:
    return Record(topics.RECEIVED, 0, offset, 1_714_557_600_000, b"ab12", value, (("content-type", HL7_V2.encode()),))


async def test_sealed_and_in_clear_give_the_same_and_erasure_ends_it(stage: DeidentifyStage, settings: Settings) -> None:
    """One patient, one token, sealed or not; once the patient is erased, the sealed record is a dead letter that says so."""
    door = await open_seal(settings, cache_s=0)
    sealed = await door.seal(b"ab12", HL7_V2, ADT)
    first, second = await stage.process([record(ADT, 1), record(sealed, 2)])
    assert isinstance(first, Done)
    assert isinstance(second, Done)
    assert first.outputs[0].value == second.outputs[0].value
    token = parse_headers(list(second.outputs[0].headers)).subject
    assert token is not None
    vault = await open_vault(settings)
    assert await vault.erase(token)
    await vault.close()
    fresh = DeidentifyStage(settings)
    await fresh.open()
    (refused,) = await fresh.process([record(sealed, 2)])
    assert isinstance(refused, Refused)
    assert refused.error.reason is Reason.PAYLOAD_ERASED
    await fresh.close()
    await door.close()


async def test_a_damaged_seal_is_one_dead_letter_among_good_records(stage: DeidentifyStage, settings: Settings) -> None:
    """Poison: it holds nobody else up."""
    door = await open_seal(settings, cache_s=0)
    sealed = await door.seal(b"ab12", HL7_V2, ADT)
    bad, good = await stage.process([record(sealed[:-1] + bytes([sealed[-1] ^ 1]), 1), record(sealed, 2)])
    assert isinstance(bad, Refused)
    assert bad.error.reason is Reason.SCHEMA_MISMATCH
    assert isinstance(good, Done)
    await door.close()


class Leaking(Deidentifier):
    """Rules that missed something: the gate finds it in every message."""

    def apply(self, prepared: Prepared, pseudonyms: Pseudonyms) -> Deidentified:
        raise LeakDetected(path="PID-5")


async def test_a_leak_is_quarantined_sealed_and_erasable(settings: Settings) -> None:
    """A message that came in clear lies among the dead letters under its patient's key: readable with it, gone with the patient."""
    await make_keyring(settings)
    vault, seal = await open_vault(settings), await open_seal(settings, cache_s=0)
    stage = DeidentifyStage(settings, Leaking(load_policy("safe_harbor")), vault, seal)
    (refused,) = await stage.process([record(ADT, 1)])
    assert isinstance(refused, Refused)
    kept = refused.quarantined
    assert kept is not None
    assert kept.value is not None
    assert is_sealed(kept.value)
    assert b"Quillfeather" not in kept.value
    assert dict(kept.headers)["payload-seal"] == b"a256gcm"
    assert kept.key is not None
    assert await seal.unseal(kept.key, HL7_V2, kept.value) == ADT
    assert await vault.erase(kept.key.decode())
    with pytest.raises(UnsupportedContent):
        await seal.unseal(kept.key, HL7_V2, kept.value)
    await stage.close()


async def test_a_merge_message_is_told_to_whoever_keeps_something(stage: DeidentifyStage) -> None:
    """A40: the event names both tokens before the message goes out; the same again when it is redelivered; later messages of the retired
    number belong to the survivor, on the survivor's clock."""
    gone = ADT.replace(b"100200307", b"100200308")
    a40 = ADT.replace(b"ADT^A01", b"ADT^A40").replace(b"PV1|1|I", b"MRG|100200308^^^NORTHGATE^MR")
    first, before = await stage.process([record(ADT, 1), record(gone, 2)])
    merged, after = await stage.process([record(a40, 3), record(gone, 4)])
    (again,) = await stage.process([record(a40, 3)])
    assert all(isinstance(outcome, Done) for outcome in (first, before, merged, after, again))
    survivor, retired = (subject_of(outcome) for outcome in (first, before))
    assert merged == again
    event, message = merged.outputs
    assert (event.topic, event.key, message.topic) == (topics.MERGED, retired.encode(), topics.READY)
    told = msgspec.json.decode(event.value, type=Merge)
    assert (told.survivor, told.retired) == (survivor, retired)
    assert retired.encode() in message.value.split(b"MRG")[1]
    assert survivor.encode() in message.value
    assert subject_of(after) == survivor
    old, new = (decode_map(parse_headers(list(o.outputs[-1].headers)).deid_map).received for o in (before, after))
    assert old is not None
    assert new == old + told.delta_minutes


@pytest.mark.parametrize("event", [b"A43", b"A44", b"A45", b"A08"])
async def test_a_move_between_patients_merges_nobody(stage: DeidentifyStage, event: bytes) -> None:
    """MRG of a move names another patient, who stays one."""
    move = ADT.replace(b"ADT^A01", b"ADT^" + event).replace(b"PV1|1|I", b"MRG|100200308^^^NORTHGATE^MR")
    gone = ADT.replace(b"100200307", b"100200308")
    first, before, moved, after = await stage.process([record(ADT, 1), record(gone, 2), record(move, 3), record(gone, 4)])
    assert len(moved.outputs) == 1
    assert subject_of(after) == subject_of(before) != subject_of(first)


def subject_of(outcome: Outcome) -> str:
    assert isinstance(outcome, Done)
    subject = parse_headers(list(outcome.outputs[-1].headers)).subject
    assert subject is not None
    return subject
