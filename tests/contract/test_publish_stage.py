"""The publish stage with a real vault: what goes to which topic, in which order, under which classification."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from agents import publish
from agents.publish.agent import PublishStage
from agents.publish.release import Releaser
from agents.vault.contract import PatientRequest, VaultRequest, link
from agents.vault.vault import TokenVault, memory_vault
from schemas.audit import AuditEntry
from schemas.deidentified import DeidMap
from schemas.envelope import FHIR_JSON, HL7_V2, JSON, DataClass, Envelope, parse_headers
from schemas.errors import ConfigurationError, PrivacyViolation, Reason
from schemas.flags import Decision
from streams import topics
from streams.record import Output, Record
from streams.settings import Publish, Settings
from streams.stage import Done, Outcome, Refused
from tests.support.publish import PERSON, clinical_message, decided


async def known(vault: TokenVault) -> str:
    """The token of a patient whom the vault has met."""
    (answer,) = await vault.resolve([VaultRequest(patients=(PatientRequest(person=PERSON, links=(link("NORTH", "A|9"),)),))])
    return answer.subject


def stage_with(vault: TokenVault) -> PublishStage:
    return PublishStage(Settings(), Releaser(Settings(), vault))


def of(subject: str) -> Decision:
    return decided(msgspec.structs.replace(clinical_message(), subject=subject))


def record(decision: Decision, *, deid_map: DeidMap | None = None, data_class: DataClass = DataClass.INTERNAL) -> Record:
    findings = decision.findings
    envelope = Envelope(
        id=decision.id,
        source="/agents/decide",
        type=topics.BY_NAME[topics.RAISED].event_type,
        time=findings.time,
        content_type=JSON,
        data_class=data_class,
        origin=findings.origin,
        subject=findings.subject,
        policy="safe_harbor-1",
        model="entities-1+rules-1",
        deid_map=(deid_map or DeidMap()).encode(),
    )
    return Record(topics.RAISED, 0, 0, 0, findings.subject.encode(), msgspec.json.encode(decision), envelope.headers())


async def run(stage: PublishStage, *records: Record) -> Sequence[Outcome]:
    await stage.open()
    try:
        return await stage.process(records)
    finally:
        await stage.close()


def outputs(outcome: Outcome) -> list[tuple[Output, Envelope]]:
    assert isinstance(outcome, Done)
    return [(output, parse_headers(output.headers)) for output in outcome.outputs]


async def test_bundle_then_audit_then_results() -> None:
    """The audit entry stands before the results that it is about; classes follow the topics; the sidecar map ends here."""
    vault = memory_vault(seed=1)
    decision = of(await known(vault))
    (outcome,) = await run(stage_with(vault), record(decision))
    rows = outputs(outcome)
    assert [(output.topic, envelope.content_type) for output, envelope in rows] == [
        (topics.BUNDLE, FHIR_JSON),
        (topics.AUDIT, JSON),
        (topics.RESULT, FHIR_JSON),
        (topics.RESULT, HL7_V2),
    ]
    assert [envelope.data_class for _, envelope in rows] == [
        DataClass.INTERNAL,
        DataClass.INTERNAL,
        DataClass.RESTRICTED,
        DataClass.RESTRICTED,
    ]
    assert len({envelope.id for _, envelope in rows}) == 4
    for output, envelope in rows:
        assert output.key == decision.findings.subject.encode()
        assert (envelope.time, envelope.origin) == (decision.findings.time, decision.findings.origin)
        assert envelope.deid_map is None


async def test_only_restricted_records_hold_the_person() -> None:
    """No name, number, address or birth date in a de-identified record, an audit entry, or any header."""
    vault = memory_vault(seed=1)
    (outcome,) = await run(stage_with(vault), record(of(await known(vault))))
    words = [b"Testperson", b"Quill", b"4711", b"A|9", b"Testville", b"1961", b"555-0100", b"example.org"]
    for output, envelope in outputs(outcome):
        headers = b" ".join(value for _, value in output.headers)
        assert not [word for word in words if word in headers]
        found = [word for word in words if word in (output.value or b"")]
        assert bool(found) == (envelope.data_class is DataClass.RESTRICTED)


async def test_redelivery_gives_the_same_bytes() -> None:
    """Another worker's stage publishes the same records for the same decision."""
    vault = memory_vault(seed=1)
    one = record(of(await known(vault)))
    assert await run(stage_with(vault), one) == await run(stage_with(vault), one)


async def test_an_unknown_token_is_refused() -> None:
    """Nothing is published for a patient who was erased; the dead letter says why."""
    (outcome,) = await run(stage_with(memory_vault(seed=1)), record(of("W00000000000000")))
    assert isinstance(outcome, Refused)
    assert outcome.error.reason is Reason.UNKNOWN_TOKEN


async def test_a_message_without_a_patient_has_a_pseudonymous_result_only() -> None:
    """There is nobody to release."""
    (outcome,) = await run(
        stage_with(memory_vault(seed=1)), record(of("W00000000000000"), deid_map=DeidMap(without_patient=True))
    )
    assert [output.topic for output, _ in outputs(outcome)] == [topics.BUNDLE]


async def test_without_reidentification_the_vault_stays_closed() -> None:
    """An installation that publishes pseudonyms only needs no key."""
    stage = PublishStage(Settings(publish=Publish(reidentify=False)))
    (outcome,) = await run(stage, record(of("W00000000000000")))
    assert [output.topic for output, _ in outputs(outcome)] == [topics.BUNDLE]


async def test_reidentification_without_a_key_refuses_to_start() -> None:
    """The setting is named."""
    with pytest.raises(ConfigurationError):
        await PublishStage(Settings()).open()


async def test_one_bad_record_does_not_hold_up_the_others() -> None:
    """Refused and done in the order of the batch."""
    vault = memory_vault(seed=1)
    good = record(of(await known(vault)))
    bad = Record(topics.RAISED, 0, 1, 0, good.key, b'{"schema":"decision.v1","id":1}', good.headers)
    outcomes = await run(stage_with(vault), bad, good)
    assert isinstance(outcomes[0], Refused)
    assert (outcomes[0].error.reason, outcomes[0].error.path) == (Reason.SCHEMA_MISMATCH, "value")
    assert isinstance(outcomes[1], Done)


async def test_a_record_of_another_class_halts() -> None:
    """The stage may not read restricted records: that is a violation, not a dead letter."""
    with pytest.raises(PrivacyViolation):
        await run(stage_with(memory_vault(seed=1)), record(decided(), data_class=DataClass.RESTRICTED))


async def test_the_audit_entry_can_be_read() -> None:
    """It is one of our records, about this decision."""
    vault = memory_vault(seed=1)
    decision = of(await known(vault))
    (outcome,) = await run(stage_with(vault), record(decision))
    raw = next(output.value for output, _ in outputs(outcome) if output.topic == topics.AUDIT)
    entry = msgspec.json.decode(raw or b"", type=AuditEntry)
    assert (entry.record, entry.subject) == (decision.id, decision.findings.subject)
    assert json.loads(raw or b"")["schema"] == "audit.v1"


def test_one_module_reads_identities() -> None:
    """In this room only the release imports the vault or the types that hold identifiers."""
    room = Path(publish.__file__ or "").parent
    readers = {
        f.name for f in room.glob("*.py") if re.search(r"(from|import) (agents\.vault|schemas\.identity)\b", f.read_text("utf-8"))
    }
    assert readers == {"release.py"}
