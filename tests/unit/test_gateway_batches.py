"""Batches and files: cut into messages, answered once."""

from __future__ import annotations

import pytest

from tests.support.gateway import code, error, fields, hl7, running

FHS = b"FHS|^~\\&|LAB|NORTH|WARD|HERE|20260304||||F1\r"
BHS = b"BHS|^~\\&|LAB|NORTH|WARD|HERE|20260304||||B1\r"


async def test_file_of_two_batches() -> None:
    """Each message becomes a record; one answer, after all are stored, names file and batch and holds every acknowledgement."""
    messages = [hl7(f"C{i}") for i in range(5)]
    file = FHS + BHS + b"".join(messages[:3]) + b"BTS|3\r" + BHS + b"".join(messages[3:]) + b"BTS|2\rFTS|2\r"
    async with await running() as gateway:
        answer = await gateway.door.answer(file)
        assert answer is not None
        assert gateway.log.payloads == messages
        assert answer.count(b"\rMSA|AA|") == 5
        assert fields(answer, b"FHS")[11] == b"F1"
        assert fields(answer, b"BHS")[11] == b"B1"
        assert fields(answer, b"BTS")[1] == b"5"


@pytest.mark.parametrize("trailer", [b"", b"BTS\r", b"BTS||comment\r", b"BTS|2|x\r"])
async def test_trailer_may_be_silent(trailer: bytes) -> None:
    """The trailer and its count are optional."""
    async with await running() as gateway:
        await gateway.door.answer(BHS + hl7("a") + hl7("b") + trailer)
        assert len(gateway.log.stored) == 2


@pytest.mark.parametrize("trailer", [b"BTS|3\r", b"BTS|1\r", b"BTS|x\r", b"BTS|2\rFTS|2\r"])
async def test_count_mismatch_refuses_the_whole(trailer: bytes) -> None:
    """A batch that was cut on its way is not stored in part."""
    async with await running() as gateway:
        answer = await gateway.door.answer(FHS + BHS + hl7("a") + hl7("b") + trailer)
        assert (code(answer), error(answer)) == ("AE", "100")
        assert fields(answer, b"MSA")[2] == b"F1"
        assert gateway.log.stored == []


async def test_one_bad_message_in_a_batch() -> None:
    """It is answered with its own error; the others are stored."""
    async with await running() as gateway:
        answer = await gateway.door.answer(BHS + hl7("a") + hl7("b", version="9") + hl7("c") + b"BTS|3\r")
        assert answer is not None
        assert b"MSA|AA|a\r" in answer
        assert b"MSA|AR|b\r" in answer
        assert b"MSA|AA|c\r" in answer
        assert len(gateway.log.stored) == 2


async def test_segment_outside_messages() -> None:
    """Content that belongs to no message is refused, not dropped."""
    async with await running() as gateway:
        answer = await gateway.door.answer(BHS + b"NTE|1||lost\r" + hl7("a"))
        assert code(answer) == "AR"
        assert gateway.log.stored == []


async def test_kafka_fails_in_a_batch() -> None:
    """Every message that is not stored is answered AE."""
    async with await running() as gateway:
        gateway.log.failing = True
        answer = await gateway.door.answer(BHS + hl7("a") + hl7("b") + b"BTS|2\r")
        assert answer is not None
        assert answer.count(b"MSA|AE|") == 2


async def test_line_feeds_in_a_batch() -> None:
    """Batches with LF line ends are cut the same way."""
    async with await running() as gateway:
        await gateway.door.answer(BHS.replace(b"\r", b"\n") + hl7("a", end="\n") + hl7("b", end="\n") + b"BTS|2\n")
        assert gateway.log.payloads == [hl7("a", end="\n"), hl7("b", end="\n")]


async def test_bare_trailer() -> None:
    """A trailer without a separator says nothing, and is no fault."""
    async with await running() as gateway:
        await gateway.door.answer(FHS + BHS + hl7("a") + b"BTS\rFTS")
        assert len(gateway.log.stored) == 1
