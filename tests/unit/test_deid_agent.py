"""The stage: raw records in, de-identified records out, refusals with a reason."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agents.deidentify.agent import DeidentifyStage, build
from agents.vault.backend import RedisBackend
from agents.vault.memory import MemoryVault
from ops.stack import make_keyring
from schemas.deidentified import decode_map
from schemas.envelope import HL7_V2, DataClass, Envelope, parse_headers
from schemas.errors import ConfigurationError, PrivacyViolation, Reason, StoreUnavailable
from schemas.hl7.er7 import parse
from streams import topics
from streams.key_encryption.file import master_key
from streams.record import Record
from streams.settings import Deid, Redis, Secrets, Settings
from streams.stage import Done, Refused
from streams.store import connect
from tests.support.deid import ADT, IDENTIFIERS, ORU, bundle, deidentifier, patient_resource, report, vault_on

ENVELOPE = Envelope(
    id="11111111-1111-5111-8111-111111111111",
    source="/mllp",
    type="org.wardstream.message.received",
    time="2024-05-01T10:00:00.000Z",
    content_type=HL7_V2,
    data_class=DataClass.RESTRICTED,
    origin="11111111-1111-5111-8111-111111111111",
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)


def stage() -> DeidentifyStage:
    return DeidentifyStage(Settings(), deidentifier(), MemoryVault(seed=3))


def record(payload: bytes | None, offset: int = 42, **changes: object) -> Record:
    headers = msgspec.structs.replace(ENVELOPE, **changes).headers()
    return Record(topics.RECEIVED, 3, offset, 1714557600000, b"routing-key", payload, headers)


async def test_a_message_goes_on_without_identifiers() -> None:
    """The output has the token as key and subject, the class internal, the policy, the map, and the original's time and origin."""
    (outcome,) = await stage().process([record(ORU)])
    assert isinstance(outcome, Done)
    (output,) = outcome.outputs
    envelope = parse_headers(output.headers)
    assert output.topic == topics.READY
    assert output.key == (envelope.subject or "").encode()
    assert (envelope.data_class, envelope.time, envelope.origin) == (DataClass.INTERNAL, ENVELOPE.time, ENVELOPE.origin)
    assert (envelope.content_type, envelope.source, envelope.traceparent) == (HL7_V2, "/agents/deidentify", ENVELOPE.traceparent)
    assert envelope.policy == deidentifier().policy_version
    assert envelope.id != ENVELOPE.id
    assert decode_map(envelope.deid_map).notes
    everything = repr(output.headers) + repr(output.key) + (output.value or b"").decode()
    assert [text for text in IDENTIFIERS if text.casefold() in everything.casefold()] == []


async def test_the_same_record_gives_the_same_bytes() -> None:
    """Processing again, alone or in company, changes nothing."""
    one = stage()
    (first,) = await one.process([record(ORU)])
    (again,) = await one.process([record(ORU)])
    (_, beside, _) = await one.process([record(ADT, 1), record(ORU), record(b"broken", 2)])
    assert first == again == beside


async def test_hl7_and_fhir_of_one_patient_share_the_token() -> None:
    """The number and its authority decide, not the format, whichever comes first."""
    for order in ((0, 1), (1, 0)):
        settings = DeidentifyStage(Settings(), deidentifier_with_authorities(), MemoryVault(seed=3))
        both = [record(ADT), record(bundle(patient_resource(), report("fine")), content_type="application/fhir+json")]
        outcomes = await settings.process([both[n] for n in order])
        keys = {outcome.outputs[0].key for outcome in outcomes if isinstance(outcome, Done)}
        assert len(outcomes) == 2
        assert len(keys) == 1


def deidentifier_with_authorities():  # type: ignore[no-untyped-def]
    from agents.deidentify.policy import load_policy
    from agents.deidentify.step import Deidentifier

    return Deidentifier(load_policy("safe_harbor"), authorities={"NORTHGATE": "urn:oid:1.2.840.99"})


async def test_an_integration_engine_needs_only_a_content_type() -> None:
    """Without CloudEvents headers id, time and source come from the record's place in the log."""
    bare = Record(topics.RECEIVED, 3, 42, 1714557600000, None, ADT, (("content-type", HL7_V2.encode()),))
    (outcome,) = await stage().process([bare])
    (again,) = await stage().process([bare])
    assert isinstance(outcome, Done)
    assert outcome == again
    envelope = parse_headers(outcome.outputs[0].headers)
    assert envelope.time == "2024-05-01T10:00:00.000Z"
    assert envelope.data_class is DataClass.INTERNAL


@pytest.mark.parametrize(
    ("payload", "changes", "reason"),
    [
        (b"no message", {}, Reason.MALFORMED_HL7),
        (None, {}, Reason.SCHEMA_MISMATCH),
        (ADT, {"content_type": "image/png"}, Reason.UNSUPPORTED_CONTENT_TYPE),
        (b'{"resourceType":"Nonsense"}', {"content_type": "application/fhir+json"}, Reason.UNSUPPORTED_RESOURCE),
    ],
)
async def test_what_cannot_be_read_is_refused_with_a_reason(
    payload: bytes | None, changes: dict[str, object], reason: Reason
) -> None:
    """A bad record is refused alone; its neighbour goes on."""
    refused, done = await stage().process([record(payload, **changes), record(ADT, 43)])
    assert isinstance(refused, Refused)
    assert refused.error.reason is reason
    assert isinstance(done, Done)


async def test_a_record_without_a_content_type_is_refused() -> None:
    """Nothing is guessed."""
    (outcome,) = await stage().process([Record(topics.RECEIVED, 0, 0, 0, None, ADT, ())])
    assert isinstance(outcome, Refused)
    assert outcome.error.reason is Reason.UNSUPPORTED_CONTENT_TYPE


async def test_another_class_of_data_halts() -> None:
    """A record that says it is de-identified has no business on this topic."""
    with pytest.raises(PrivacyViolation):
        await stage().process([record(ADT, data_class=DataClass.INTERNAL)])


async def test_without_the_vault_nothing_happens() -> None:
    """An unreachable store is an error to come back from, not a second token."""
    vault = vault_on(RedisBackend(connect(Redis(url="redis://127.0.0.1:1/0", timeout_s=0.2)), "t1"))
    with pytest.raises(StoreUnavailable):
        await DeidentifyStage(Settings(), deidentifier(), vault).process([record(ADT)])


@pytest.mark.redis
async def test_two_workers_on_one_redis_agree(redis_server: str, tmp_path: Path) -> None:
    """Stages built from settings, each with its own connection, give a patient the same token."""
    key = tmp_path / "master"
    key.write_text(master_key())
    settings = Settings(
        redis=Redis(url=redis_server), secrets=Secrets(master_key_file=key), deid=Deid(use_model=False, tenant="agent-test")
    )
    await make_keyring(settings)
    subjects = set()
    for payload in (ADT, ORU):
        one = build(settings)
        await one.open()
        (outcome,) = await one.process([record(payload)])
        await one.close()
        assert isinstance(outcome, Done)
        subjects.add(outcome.outputs[0].key)
    assert len(subjects) == 1


async def test_without_the_master_key_it_does_not_start() -> None:
    """The vault's key is not optional."""
    with pytest.raises(ConfigurationError):
        await build(Settings(deid=Deid(use_model=False))).open()


async def test_a_missing_model_refuses_to_start(tmp_path: Path) -> None:
    """With ``use_model`` and no bundle free text would have a layer less: refuse."""
    key = tmp_path / "master"
    key.write_text(master_key())
    from streams.settings import Models

    settings = Settings(secrets=Secrets(master_key_file=key), models=Models(shelf=tmp_path))
    with pytest.raises(ConfigurationError):
        await build(settings).open()


def test_the_derived_message_is_still_a_message() -> None:
    """The output of the stage parses as what its content type says."""
    import asyncio

    (outcome,) = asyncio.run(stage().process([record(ADT)]))
    assert isinstance(outcome, Done)
    assert parse(outcome.outputs[0].value or b"").kind == "ADT^A01"
