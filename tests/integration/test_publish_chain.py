"""The stages after one another on a real Redis: what a sender wrote comes back to it, about the right patient, at the right time."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from agents.worker import build
from ops.stack import make_keyring
from schemas.envelope import HL7_V2
from schemas.hl7.er7 import parse
from streams import topics
from streams.key_encryption.file import master_key
from streams.record import Output, Record
from streams.settings import Deid, Kafka, Publish, Redis, Secrets, Settings
from streams.stage import Done, Stage
from tests.support.receiver import Receiver, acknowledge

STAGES = ("deidentify", "extract", "decide", "publish", "deliver")
WORDS = ("Quarrington", "Philomena", "88120417", "Tidewater", "555-0143", "19610203")
NOTE = "Mrs. Quarrington endorses suicidal ideation. Allergic to penicillin. Started amoxicillin 500 mg by mouth."


def oru(control: str, time: str, *rows: str) -> bytes:
    segments = [
        f"MSH|^~\\&|LAB|NORTH|||{time}||ORU^R01^ORU_R01|{control}|P|2.5.1",
        "PID|1||88120417^^^NORTH^MR||Quarrington^Philomena||19610203|F|||7 Tidewater Ct^^Ferndale^WA^98248||(360)555-0143",
        f"OBR|1||{control}-O^LAB|BMP^Basic metabolic panel^L|||{time}|||||||||||||||{time}||LAB|F",
        *rows,
    ]
    return "".join(f"{segment}\r" for segment in segments).encode()


def creatinine(value: str, time: str) -> str:
    return f"OBX|1|NM|2160-0^Creatinine^LN||{value}|mg/dL|0.5-1.1||||F|||{time}"


MESSAGES = [
    oru("C-1", "20260301080000", creatinine("0.9", "20260301080000")),
    oru("C-2", "20260302071500", creatinine("1.9", "20260302071500")),
    oru("C-3", "20260302090000", f"OBX|1|TX|11506-3^Progress note^LN||{NOTE}||||||F|||20260302090000"),
]


@pytest.fixture
async def stages(redis_server: str, tmp_path: Path) -> AsyncIterator[tuple[dict[str, Stage], Receiver]]:
    key = tmp_path / "master.key"
    key.write_text(master_key())
    async with Receiver(lambda message, number: acknowledge("AA", message)) as receiver:
        name = str(uuid.uuid4())
        settings = Settings(
            redis=Redis(url=redis_server),
            kafka=Kafka(topic_prefix=f"{name}."),
            secrets=Secrets(master_key_file=key),
            deid=Deid(use_model=False, tenant=name),
            publish=Publish(receiver=receiver.address),
        )
        await make_keyring(settings)
        made = {stage: build(stage, settings) for stage in STAGES}
        for stage in made.values():
            await stage.open()
        yield made, receiver
        for stage in made.values():
            await stage.close()


async def step(stage: Stage, records: Sequence[Record]) -> list[Output]:
    outcomes = await stage.process(records)
    assert all(isinstance(outcome, Done) for outcome in outcomes), outcomes
    return [output for outcome in outcomes if isinstance(outcome, Done) for output in outcome.outputs]


def consumed(outputs: Sequence[Output], topic: str) -> list[Record]:
    return [Record(o.topic, 0, n, 0, o.key, o.value, o.headers) for n, o in enumerate(outputs) if o.topic == topic]


async def run(made: dict[str, Stage], messages: Sequence[bytes]) -> list[Output]:
    """Everything that the stages write, in order."""
    headers = (("content-type", HL7_V2.encode()),)
    records = [Record(topics.RECEIVED, 0, n, 1_772_440_000_000, b"k", value, headers) for n, value in enumerate(messages)]
    written: list[Output] = []
    for name, writes in zip(STAGES, (topics.READY, topics.EXTRACTED, topics.RAISED, topics.RESULT, topics.AUDIT), strict=True):
        outputs = await step(made[name], records)
        written += outputs
        records = consumed(outputs, writes)
    return written


def bundles(outputs: Sequence[Output], topic: str) -> list[list[dict[str, Any]]]:
    return [
        [entry["resource"] for entry in json.loads(o.value)["entry"]]
        for o in outputs
        if o.topic == topic and o.value is not None and o.value.startswith(b"{")
    ]


async def test_flags_come_back_to_the_sender(stages: tuple[dict[str, Stage], Receiver]) -> None:
    """The receiver gets ORU messages about the person, with the flags, at the minute of the result."""
    made, receiver = stages
    await run(made, MESSAGES)
    first, second = (parse(message) for message in receiver.received)
    identity, aki = first.first("PID"), first.all("OBX")[0]
    assert identity is not None
    assert (identity.get(3), identity.get(5), identity.get(7)) == ("88120417", "Quarrington", "19610203")
    assert (aki.get(3), aki.get(14)) == ("aki.kdigo", "202603020715")
    assert {row.get(3) for row in second.all("OBX")} == {"suicide.ideation", "drug.allergy"}


async def test_spans_lead_back_to_the_note_as_received(stages: tuple[dict[str, Stage], Receiver]) -> None:
    """Offsets of the re-identified result cut the same words out of the sender's own text."""
    made, _ = stages
    result = bundles(await run(made, MESSAGES), topics.RESULT)[2]
    found = {}
    for resource in result:
        for extension in resource.get("extension", ()):
            parts = {part["url"]: part for part in extension.get("extension", ())}
            if "begin" in parts and resource["resourceType"] != "DetectedIssue":
                name = (resource.get("code") or resource["medicationCodeableConcept"])["text"]
                found[name] = NOTE[parts["begin"]["valueUnsignedInt"] : parts["end"]["valueUnsignedInt"]]
    assert found["suicidal ideation"] == "suicidal ideation"
    assert all(name == text for name, text in found.items()), found


async def test_only_restricted_topics_know_the_person(stages: tuple[dict[str, Stage], Receiver]) -> None:
    """No identifier of the message in any de-identified, training or audit record, nor in any key or header."""
    made, _ = stages
    for output in await run(made, MESSAGES):
        outside = b" ".join([output.key or b"", *(value for _, value in output.headers)]).decode()
        assert not [word for word in WORDS if word in outside]
        if not output.topic.startswith("phi."):
            assert not [word for word in WORDS if word in (output.value or b"").decode()], output.topic


async def test_a_second_run_writes_the_same_bytes(stages: tuple[dict[str, Stage], Receiver]) -> None:
    """Redelivery from the very beginning changes nothing that anybody can read; the receiver sees each message once."""
    made, receiver = stages
    first = await run(made, MESSAGES)
    again = await run(made, MESSAGES)
    assert [(o.topic, o.key, o.value, o.headers) for o in again] == [(o.topic, o.key, o.value, o.headers) for o in first]
    assert len(receiver.received) == 2
