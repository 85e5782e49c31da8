"""The stage: records of ``deid.message.ready.v1`` in, outcomes with records of ``deid.findings.extracted.v1`` out."""

from __future__ import annotations

import msgspec
import pytest

from agents.extract.agent import ExtractStage, build
from agents.extract.step import Extractor
from schemas.deidentified import DeidMap
from schemas.envelope import HL7_V2, JSON, DataClass, Envelope, parse_headers
from schemas.errors import ConfigurationError, PrivacyViolation, Reason
from schemas.findings import Findings
from streams import topics
from streams.record import Record
from streams.settings import Models, Settings
from streams.stage import Done, Refused
from tests.support.extract import WordTagger
from tests.unit.test_extract_step import LABS, NOTE, WORDS


def stage() -> ExtractStage:
    return ExtractStage(Settings(), Extractor(WordTagger(WORDS)))


def record(payload: bytes | None, **changes: object) -> Record:
    envelope = Envelope(
        id="11111111-1111-5111-8111-111111111111",
        source="/agents/deidentify",
        type="org.wardstream.message.ready",
        time="2024-05-01T10:00:00Z",
        content_type=HL7_V2,
        data_class=DataClass.INTERNAL,
        origin="22222222-2222-5222-8222-222222222222",
        subject="wspt-1",
        policy="policy-1",
        deid_map=DeidMap(received=7).encode(),
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    headers = msgspec.structs.replace(envelope, **changes).headers()
    return Record(topics.READY, 3, 42, 1714557600000, b"wspt-1", payload, headers)


async def test_findings_go_on_under_the_same_key_time_and_origin() -> None:
    """The output keeps what ties it to its message and adds its own id, type and model version."""
    (outcome,) = await stage().process([record(NOTE.encode())])
    assert isinstance(outcome, Done)
    (output,) = outcome.outputs
    envelope = parse_headers(output.headers)
    assert (output.topic, output.key) == (topics.EXTRACTED, b"wspt-1")
    assert (envelope.time, envelope.origin, envelope.subject) == (
        "2024-05-01T10:00:00Z", "22222222-2222-5222-8222-222222222222", "wspt-1")  # fmt: skip
    assert (envelope.content_type, envelope.data_class, envelope.source) == (JSON, DataClass.INTERNAL, "/agents/extract")
    assert envelope.traceparent == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert output.value is not None
    found = msgspec.json.decode(output.value, type=Findings)
    assert (found.id, found.elapsed, found.versions.policy) == (envelope.id, 7, "policy-1")
    assert {m.text for m in found.mentions} >= {"asthma", "metformin"}


async def test_one_outcome_per_record_in_order() -> None:
    """Unreadable, empty and nameless records are refused in their place; the others pass."""
    outcomes = await stage().process(
        [
            record(NOTE.encode()),
            record(b"no message"),
            record(None),
            record(LABS.encode(), subject=None),
            record(LABS.encode(), deid_map=b"{"),
            Record(topics.READY, 0, 1, 0, None, b"x", (("ce_dataclassification", b"internal"),)),
            record(LABS.encode()),
        ]
    )
    assert [type(o) for o in outcomes] == [Done, Refused, Refused, Refused, Refused, Refused, Done]
    assert [o.error.reason for o in outcomes if isinstance(o, Refused)] == [Reason.MALFORMED_HL7, *[Reason.SCHEMA_MISMATCH] * 4]


async def test_a_record_that_may_hold_identifiers_halts_the_stage() -> None:
    """Restricted data is not dead-lettered and not read: the process ends."""
    with pytest.raises(PrivacyViolation):
        await stage().process([record(NOTE.encode(), data_class=DataClass.RESTRICTED)])


async def test_the_same_record_gives_the_same_bytes() -> None:
    """Redelivery writes what was written, alone or in another batch."""
    first = await stage().process([record(NOTE.encode())])
    again = await stage().process([record(LABS.encode()), record(NOTE.encode())])
    assert first[0] == again[1]


async def test_start_up_refuses_a_shelf_without_the_model(tmp_path: object) -> None:
    """Without the entity model there is no stage; the settings name what is missing."""
    lonely = build(Settings(models=Models(shelf=tmp_path)))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        await lonely.open()
    await lonely.close()
