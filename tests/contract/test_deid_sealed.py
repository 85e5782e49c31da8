"""De-identification of sealed records, on a real Redis: the same result as in clear, and after an erasure none at all."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agents.deidentify.agent import DeidentifyStage
from agents.vault.vault import open_vault
from schemas.envelope import HL7_V2, parse_headers
from schemas.errors import Reason
from streams import topics
from streams.key_encryption.file import master_key
from streams.record import Record
from streams.sealing import open_seal
from streams.settings import Deid, Redis, Secrets, Settings
from streams.stage import Done, Refused
from tests.support.keyring import install

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
    await install(settings)
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
