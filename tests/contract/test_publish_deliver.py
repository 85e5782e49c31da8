"""Delivery to a receiver over real sockets: nothing is done before it is acknowledged, nothing acknowledged is sent again."""

from __future__ import annotations

import msgspec
import pytest

from agents.publish.deliver_agent import ATTEMPTS, DeliverStage
from agents.publish.mllp_sender import read_address
from agents.publish.release import release
from schemas.audit import AuditEntry
from schemas.envelope import FHIR_JSON, HL7_V2, DataClass, Envelope, parse_headers
from schemas.errors import ConfigurationError, PrivacyViolation, Reason, ReceiverUnavailable
from streams import topics
from streams.record import Record
from streams.settings import Publish, Settings
from streams.stage import Done, Refused
from tests.support.decide import TOKEN
from tests.support.publish import RECORD, clinical_message, decided
from tests.support.receiver import Receiver, acknowledge, control_id


def message(number: int) -> bytes:
    oru = release(decided(clinical_message(number)), RECORD, application="WARDSTREAM", facility="NLP", oru=True).oru
    assert oru is not None
    return oru


MESSAGES = [message(number) for number in range(1, 5)]


def record(number: int, value: bytes, content_type: str = HL7_V2, data_class: DataClass = DataClass.RESTRICTED) -> Record:
    headers = Envelope(
        id=f"result-{number}",
        source="/agents/publish",
        type=topics.BY_NAME[topics.RESULT].event_type,
        time="2026-03-02T10:15:00Z",
        content_type=content_type,
        data_class=data_class,
        origin=f"origin-{number}",
        subject=TOKEN,
    ).headers()
    return Record(topics.RESULT, 0, number, 0, TOKEN.encode(), value, headers)


RECORDS = [record(number, value) for number, value in enumerate(MESSAGES)]
SLEPT: list[float] = []


async def sleep(seconds: float) -> None:
    SLEPT.append(seconds)


async def opened(receiver: Receiver | str) -> DeliverStage:
    address = receiver if isinstance(receiver, str) else receiver.address
    stage = DeliverStage(Settings(publish=Publish(receiver=address, receiver_timeout_s=0.4)), sleep=sleep)
    await stage.open()
    return stage


@pytest.mark.parametrize("code", ["AA", "CA"])
async def test_acknowledged_messages_are_done_in_order(code: str) -> None:
    """One connection, one message outstanding, an audit entry for each."""
    async with Receiver(lambda m, n: acknowledge(code, m)) as receiver:
        stage = await opened(receiver)
        outcomes = await stage.process(RECORDS)
        await stage.close()
    assert receiver.received == MESSAGES
    assert receiver.connections == 1
    for outcome in outcomes:
        assert isinstance(outcome, Done)
        (output,) = outcome.outputs
        entry = msgspec.json.decode(output.value or b"", type=AuditEntry)
        assert output.topic == topics.AUDIT
        assert parse_headers(output.headers).data_class is DataClass.INTERNAL
        assert (entry.action, entry.subject, entry.recipient) == ("deliver", TOKEN, f"mllp://{receiver.address}")


@pytest.mark.parametrize("code", ["AR", "CR"])
async def test_a_rejection_is_a_dead_letter_at_once(code: str) -> None:
    """The message is not sent again, and the next one is."""
    async with Receiver(lambda m, n: acknowledge(code if n == 0 else "AA", m)) as receiver:
        stage = await opened(receiver)
        outcomes = await stage.process(RECORDS[:2])
        await stage.close()
    assert isinstance(outcomes[0], Refused)
    assert outcomes[0].error.reason is Reason.RECEIVER_REFUSED
    assert isinstance(outcomes[1], Done)
    assert receiver.received == MESSAGES[:2]


@pytest.mark.parametrize("code", ["AE", "CE", "??"])
async def test_an_error_is_tried_again(code: str) -> None:
    """With growing waits, until the receiver takes it."""
    SLEPT.clear()
    async with Receiver(lambda m, n: acknowledge(code if n < 2 else "AA", m)) as receiver:
        stage = await opened(receiver)
        (outcome,) = await stage.process(RECORDS[:1])
        await stage.close()
    assert isinstance(outcome, Done)
    assert receiver.received == MESSAGES[:1] * 3
    assert SLEPT == [0.2, 0.4]


async def test_an_error_without_end_is_a_dead_letter() -> None:
    """After the last attempt the record is put aside, so that the patient's next result is not held up for ever."""
    async with Receiver(lambda m, n: acknowledge("AE", m)) as receiver:
        stage = await opened(receiver)
        (outcome,) = await stage.process(RECORDS[:1])
        await stage.close()
    assert isinstance(outcome, Refused)
    assert len(receiver.received) == ATTEMPTS


async def test_a_receiver_that_is_down_holds_everything_back() -> None:
    """No outcome, no dead letter: the batch comes again."""
    stage = await opened("127.0.0.1:1")
    with pytest.raises(ReceiverUnavailable):
        await stage.process(RECORDS)
    await stage.close()


async def test_a_lost_connection_repeats_only_what_was_not_acknowledged() -> None:
    """The receiver hangs up on the second message; the batch comes again and begins there, on a new connection."""
    async with Receiver(lambda m, n: None if n == 1 else acknowledge("AA", m)) as receiver:
        stage = await opened(receiver)
        with pytest.raises(ReceiverUnavailable):
            await stage.process(RECORDS[:3])
        outcomes = await stage.process(RECORDS[:3])
        await stage.close()
    assert all(isinstance(outcome, Done) for outcome in outcomes)
    assert receiver.received == [MESSAGES[0], MESSAGES[1], MESSAGES[1], MESSAGES[2]]
    assert receiver.connections == 2


async def test_no_answer_in_time_is_a_lost_connection() -> None:
    """A silent receiver does not hold the stage for ever, and its late answer is not taken for another message's."""
    async with Receiver(lambda m, n: b"" if n == 0 else acknowledge("AA", m)) as receiver:
        stage = await opened(receiver)
        with pytest.raises(ReceiverUnavailable):
            await stage.process(RECORDS[:1])
        (outcome,) = await stage.process(RECORDS[:1])
        await stage.close()
    assert isinstance(outcome, Done)
    assert receiver.connections == 2


async def test_an_answer_about_another_message_is_passed_over() -> None:
    """Only MSA-2 of this message counts."""
    async with Receiver(lambda m, n: acknowledge("AR", m, about="other") + acknowledge("AA", m)) as receiver:
        stage = await opened(receiver)
        (outcome,) = await stage.process(RECORDS[:1])
        await stage.close()
    assert isinstance(outcome, Done)


async def test_fhir_results_pass() -> None:
    """Their consumers read the topic: nothing is sent, nothing is audited."""
    async with Receiver(lambda m, n: acknowledge("AA", m)) as receiver:
        stage = await opened(receiver)
        (outcome,) = await stage.process([record(9, b"{}", FHIR_JSON)])
        await stage.close()
    assert outcome == Done()
    assert receiver.received == []


async def test_a_redelivered_message_keeps_its_control_id() -> None:
    """After a crash the receiver sees the same bytes under the same MSH-10 and can drop them."""
    async with Receiver(lambda m, n: acknowledge("AA", m)) as receiver:
        for _ in range(2):
            stage = await opened(receiver)
            await stage.process(RECORDS[:1])
            await stage.close()
    assert receiver.received[0] == receiver.received[1]
    assert len({control_id(m) for m in receiver.received}) == 1


async def test_without_a_receiver_the_stage_refuses_to_start() -> None:
    """The setting is named."""
    with pytest.raises(ConfigurationError) as caught:
        await DeliverStage(Settings()).open()
    assert caught.value.path == "publish.receiver"


@pytest.mark.parametrize("address", ["", "host", "host:", ":2575", "host:0", "host:70000", "host:x"])
def test_wrong_addresses(address: str) -> None:
    """An address that is none is refused before anything is sent."""
    with pytest.raises(ConfigurationError):
        read_address(address)


def test_addresses() -> None:
    """Names, IPv4 and bracketed IPv6."""
    assert read_address("ehr.example:2576") == ("ehr.example", 2576)
    assert read_address("[::1]:2576") == ("::1", 2576)


async def test_a_record_of_another_class_halts() -> None:
    """What is not a restricted result is not for this stage."""
    stage = await opened("127.0.0.1:1")
    with pytest.raises(PrivacyViolation):
        await stage.process([record(1, MESSAGES[0], data_class=DataClass.INTERNAL)])
    await stage.close()


async def test_what_is_no_message_is_refused() -> None:
    """A coded dead letter; the receiver never sees it."""
    async with Receiver(lambda m, n: acknowledge("AA", m)) as receiver:
        stage = await opened(receiver)
        (outcome,) = await stage.process([record(1, b"nonsense")])
        await stage.close()
    assert isinstance(outcome, Refused)
    assert receiver.received == []
