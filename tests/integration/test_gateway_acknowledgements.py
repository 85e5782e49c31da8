"""The acknowledgement table, over a real socket: what a sender hears in original and enhanced mode."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.gateway import Client, MemoryLog, code, error, fields, hl7, running

#: (what is wrong, message, original code, ERR-3)
REFUSED = [
    ("not HL7", b"hello", "AR", "100"),
    ("empty frame", b"", "AR", "100"),
    ("no separator", b"MSH", "AR", "100"),
    ("letters as delimiters", b"MSH|abcd|LAB|NORTH|||1||ORU^R01|C1|P|2.5\r", "AR", "100"),
    ("charset", hl7().replace(b"|||\r", b"|||||UNICODE UTF-8\r").replace(b"text", b"\xff\xfe"), "AR", "102"),
    ("message type", hl7(kind="ZZZ^Z01"), "AR", "200"),
    ("acknowledgement", hl7(kind="ACK"), "AR", "200"),
    ("query", hl7(kind="QBP^Q11"), "AR", "200"),
    ("event", hl7(kind="ADT^nothing"), "AR", "201"),
    ("processing id", hl7(processing="X"), "AR", "202"),
    ("version", hl7(version="3.0"), "AR", "203"),
    ("control id", hl7(control=""), "AE", "101"),
    ("vertical tab", hl7(text="a\x0bb"), "AR", "100"),
]


@pytest.mark.parametrize(("payload", "answer", "condition"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
async def test_refusals(payload: bytes, answer: str, condition: str) -> None:
    """Each fault has its code; nothing is stored; the connection lives on and takes a good message."""
    async with await running() as gateway:
        client = await Client.connect(gateway.port)
        got = await client.post(payload)
        assert (code(got), error(got)) == (answer, condition)
        assert gateway.log.stored == []
        assert code(await client.post(hl7("next"))) == "AA"
        await client.close()


@pytest.mark.parametrize(
    ("accept", "application", "good", "bad"),
    [
        ("", "", "AA", "AR"),
        ("AL", "", "CA", "CR"),
        ("AL", "NE", "CA", "CR"),
        ("NE", "NE", None, None),
        ("NE", "", None, None),
        ("ER", "AL", None, "CR"),
        ("SU", "", "CA", None),
        ("", "AL", "CA", "CR"),
        ("ODD", "", "CA", "CR"),
    ],
)
async def test_modes(accept: str, application: str, good: str | None, bad: str | None) -> None:
    """MSH-15 and MSH-16 choose the mode and whether there is an answer; storing does not depend on it."""
    async with await running() as gateway:
        for version, wanted in (("2.5.1", good), ("9", bad)):
            payload = hl7(f"M{version}", version=version, accept=accept, application=application)
            answer = await gateway.door.answer(payload)
            assert (None if answer is None else code(answer)) == wanted
        assert len(gateway.log.stored) == 1


async def test_accepted_only_after_the_delivery_report() -> None:
    """As long as Kafka has not reported, the sender hears nothing."""
    log = MemoryLog()
    log.gate = asyncio.Event()
    async with await running(log=log) as gateway:
        client = await Client.connect(gateway.port)
        waiting = asyncio.create_task(client.post(hl7()))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        log.gate.set()
        assert code(await waiting) == "AA"
        await client.close()


@pytest.mark.parametrize(("accept", "answer"), [("", "AE"), ("AL", "CE")])
async def test_kafka_fails(accept: str, answer: str) -> None:
    """A failed delivery is an error that the sender retries, and the retry is stored as new."""
    async with await running() as gateway:
        client = await Client.connect(gateway.port)
        gateway.log.failing = True
        got = await client.post(hl7(accept=accept))
        assert (code(got), error(got)) == (answer, "207")
        gateway.log.failing = False
        assert code(await client.post(hl7(accept=accept)))[1] == "A"
        assert len(gateway.log.stored) == 1
        await client.close()


async def test_in_flight_limit() -> None:
    """Above the limit the sender is told to come back at once, while the others still wait."""
    log = MemoryLog()
    log.gate = asyncio.Event()
    async with await running(log=log, max_in_flight=2) as gateway:
        clients = [await Client.connect(gateway.port) for _ in range(3)]
        waiting = [asyncio.create_task(client.post(hl7(f"C{i}"))) for i, client in enumerate(clients)]
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert [code(task.result()) for task in done] == ["AE"]
        log.gate.set()
        assert sorted(code(answer) for answer in await asyncio.gather(*waiting)) == ["AA", "AA", "AE"]
        for client in clients:
            await client.close()


async def test_duplicates() -> None:
    """The same bytes under the same name: acknowledged again, stored once; other bytes under that name: refused."""
    async with await running() as gateway:
        client = await Client.connect(gateway.port)
        assert [code(await client.post(hl7())) for _ in range(3)] == ["AA"] * 3
        other = await client.post(hl7(text="changed"))
        assert (code(other), error(other)) == ("AE", "205")
        assert code(await client.post(hl7(sender="LAB|SOUTH"))) == "AA"
        assert len(gateway.log.stored) == 2
        await client.close()


async def test_resent_while_in_flight() -> None:
    """A resend on another connection waits for the first and shares its fate, one record in all."""
    log = MemoryLog()
    log.gate = asyncio.Event()
    async with await running(log=log) as gateway:
        first, second = await Client.connect(gateway.port), await Client.connect(gateway.port)
        waiting = [asyncio.create_task(client.post(hl7())) for client in (first, second)]
        await asyncio.sleep(0.05)
        log.gate.set()
        assert [code(answer) for answer in await asyncio.gather(*waiting)] == ["AA", "AA"]
        assert len(log.stored) == 1
        await first.close()
        await second.close()


async def test_answer_echoes_the_sender() -> None:
    """MSA-2 is MSH-10, sender and receiver change places, event, processing id and version come back."""
    async with await running() as gateway:
        answer = await gateway.door.answer(hl7("ID-7", processing="T", version="2.4"))
        msh = fields(answer, b"MSH")
        assert msh[2:6] == [b"WARD", b"HERE", b"LAB", b"NORTH"]
        assert msh[8:12] == [b"ACK^R01^ACK", msh[9], b"T", b"2.4"]
        assert msh[6] == b"20260304050607+0000"
        assert fields(answer, b"MSA")[2] == b"ID-7"


async def test_own_delimiters() -> None:
    """The answer speaks the sender's delimiters."""
    async with await running() as gateway:
        payload = hl7(version="9").replace(b"\\", b"!").replace(b"|", b"#").replace(b"^~!&", b"@~!&").replace(b"^", b"@")
        answer = await gateway.door.answer(payload)
        assert answer is not None
        assert answer.startswith(b"MSH#@~!&#WARD#HERE#LAB#NORTH#")
        assert b"MSA#AR#C1\r" in answer


@pytest.mark.parametrize(("version", "line"), [("2.3", b"ERR|MSH^1^11^202&"), ("2.5.1", b"ERR||MSH^1^11|202^")])
async def test_err_by_version(version: str, line: bytes) -> None:
    """Before v2.5 the error stands in ERR-1, from v2.5 in ERR-2 and ERR-3."""
    async with await running() as gateway:
        answer = await gateway.door.answer(hl7(version=version, processing="Q"))
        assert answer is not None
        assert line in answer


async def test_err_holds_no_value() -> None:
    """Nothing of the message but what addresses it comes back, whatever was wrong."""
    async with await running() as gateway:
        for payload in [row[1] for row in REFUSED] + [hl7(kind="CANARY^CANARY"), hl7(version="CANARY"), hl7(processing="CANARY")]:
            answer = await gateway.door.answer(payload + b"PID|1||CANARY^^^CANARY||CANARY^CANARY\r")
            assert answer is not None
            assert b"CANARY" not in answer
            assert b"Doe" not in answer


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
async def test_line_ends(end: str) -> None:
    """LF and CRLF are tolerated; what is stored is what was sent."""
    async with await running() as gateway:
        payload = hl7(end=end)
        assert code(await gateway.door.answer(payload)) == "AA"
        assert gateway.log.payloads == [payload]


async def test_byte_order_mark_and_leading_blanks() -> None:
    """They do not hide the header."""
    async with await running() as gateway:
        assert code(await gateway.door.answer(b"\xef\xbb\xbf" + hl7("B1"))) == "AA"
        assert code(await gateway.door.answer(b"\r\n " + hl7("B2"))) == "AA"


async def test_non_ascii_text() -> None:
    """Latin-1 text under no declared character set is taken by the fallback."""
    async with await running() as gateway:
        assert code(await gateway.door.answer(hl7().replace(b"text", "Müller".encode("latin-1")))) == "AA"
