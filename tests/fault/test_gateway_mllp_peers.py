"""Hostile and broken MLLP peers: they cost their own connection, hear why where a frame could be told, and stop nobody else."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gateway import mllp
from gateway.mllp import Limits
from schemas.mllp import encode_frame
from streams.record import Output
from tests.support.gateway import Client, MemoryLog, code, error, fields, hl7, running


async def _good(port: int, control: str) -> str:
    client = await Client.connect(port)
    answer = code(await client.post(hl7(control)))
    await client.close()
    return answer


async def test_disconnect_at_every_byte() -> None:
    """A sender that vanishes inside a frame publishes nothing, leaves no connection behind, and the listener goes on."""
    stream = encode_frame(hl7())
    async with await running() as gateway:
        for cut in range(len(stream)):
            client = await Client.connect(gateway.port)
            await client.raw(stream[:cut])
            await client.close()
        for _ in range(100):
            if not gateway.server.connections:
                break
            await asyncio.sleep(0.01)
        assert gateway.counters.open == 0
        assert gateway.log.stored == []
        assert await _good(gateway.port, "after") == "AA"


async def test_reset_at_every_tenth_byte() -> None:
    """The same with a TCP reset in place of a close."""
    stream = encode_frame(hl7())
    async with await running() as gateway:
        for cut in range(0, len(stream), 10):
            client = await Client.connect(gateway.port)
            client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            await client.raw(stream[:cut])
            client.writer.transport.abort()
        await asyncio.sleep(0.1)
        assert gateway.log.stored == []
        assert await _good(gateway.port, "after") == "AA"


async def test_half_closed_sender_is_answered() -> None:
    """A sender that shuts its side down after the last frame still gets all its answers, then the close."""
    async with await running() as gateway:
        client = await Client.connect(gateway.port)
        await client.raw(encode_frame(hl7("a")) + encode_frame(hl7("b")))
        client.writer.write_eof()
        assert [code(await client.receive()), code(await client.receive())] == ["AA", "AA"]
        assert await client.receive() is None


async def test_half_closed_inside_a_frame_hears_an_error() -> None:
    """A frame that can be told but never ended is answered AE with its control id."""
    async with await running() as gateway:
        client = await Client.connect(gateway.port)
        await client.raw(encode_frame(hl7())[:-3])
        client.writer.write_eof()
        answer = await client.receive()
        assert (code(answer), fields(answer, b"MSA")[2]) == ("AE", b"C1")
        assert gateway.log.stored == []


@pytest.mark.parametrize("ended", [True, False])
async def test_oversize(ended: bool) -> None:
    """Above the frame cap: AR with the control id, then the connection closes; the answer survives bytes still on their way."""
    async with await running(Limits(max_frame_bytes=10_000)) as gateway:
        client = await Client.connect(gateway.port)
        big = hl7("BIG", text="x" * 1_000_000)
        await client.raw(encode_frame(hl7("before")) + (encode_frame(big) if ended else b"\x0b" + big))
        assert code(await client.receive()) == "AA"
        answer = await client.receive()
        assert (code(answer), error(answer), fields(answer, b"MSA")[2]) == ("AR", "104", b"BIG")
        assert await client.receive() is None
        assert len(gateway.log.stored) == 1
        assert await _good(gateway.port, "after") == "AA"


async def test_slow_sender_meets_the_frame_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte at a time does not keep a frame open beyond its deadline; meanwhile others are served."""
    monkeypatch.setattr(mllp, "LINGER_S", 0.1)
    async with await running(Limits(frame_deadline_s=0.4)) as gateway:
        slow = [await Client.connect(gateway.port) for _ in range(20)]
        stream = encode_frame(hl7("SLOW", text="x" * 500))

        async def drip(client: Client) -> bytes | None:
            await client.raw(stream[:100])
            for byte in stream[100:400]:
                client.writer.write(bytes([byte]))
                await asyncio.sleep(0.05)
                if client.reader.at_eof() or client.reader._buffer:  # type: ignore[attr-defined]
                    break
            return await client.receive()

        drips = [asyncio.create_task(drip(client)) for client in slow]
        assert await _good(gateway.port, "healthy") == "AA"
        answers = await asyncio.wait_for(asyncio.gather(*drips), 5)
        assert {(code(answer), fields(answer, b"MSA")[2]) for answer in answers} == {("AE", b"SLOW")}
        await asyncio.sleep(0.4)
        assert gateway.counters.open == 0
        assert set(gateway.counters.reasons) >= {"frame_deadline"}


async def test_idle_connection_is_closed() -> None:
    """A connection without frames ends at the idle timeout, junk does not keep it open."""
    async with await running(Limits(idle_timeout_s=0.3)) as gateway:
        client = await Client.connect(gateway.port)
        assert code(await client.post(hl7())) == "AA"
        await client.raw(b"junk")
        assert await client.receive(timeout_s=2) is None
        assert gateway.counters.reasons == ["idle"]


async def test_connection_cap_refuses_clearly() -> None:
    """Above the cap the first message is answered AE and the connection closed; below it service goes on."""
    async with await running(Limits(max_connections=3)) as gateway:
        clients = [await Client.connect(gateway.port) for _ in range(3)]
        for i, client in enumerate(clients):
            assert code(await client.post(hl7(f"C{i}"))) == "AA"
        surplus = await Client.connect(gateway.port)
        answer = await surplus.post(hl7("MORE"))
        assert (code(answer), error(answer), fields(answer, b"MSA")[2]) == ("AE", "207", b"MORE")
        assert await surplus.receive() is None
        await clients[0].close()
        await asyncio.sleep(0.05)
        assert await _good(gateway.port, "MORE") == "AA"
        assert len(gateway.log.stored) == 4


async def test_silent_surplus_connections_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above cap and refusals connections are closed at once; silent ones end by their own deadline."""
    monkeypatch.setattr(mllp, "REFUSAL_DEADLINE_S", 0.2)
    monkeypatch.setattr(mllp, "REFUSALS", 5)
    async with await running(Limits(max_connections=1)) as gateway:
        clients = [await Client.connect(gateway.port) for _ in range(20)]
        await asyncio.sleep(0.5)
        assert len(gateway.server.refused) == 0
        assert len(gateway.server.connections) == 1
        assert code(await clients[0].post(hl7())) == "AA"


async def test_pipelined_frames_are_answered_in_order() -> None:
    """However long each takes to store, answers leave in the order of the frames, junk between them or not."""

    class Uneven(MemoryLog):
        async def deliver(self, output: Output) -> None:
            await asyncio.sleep(0.02 if len(self.stored) % 3 == 0 else 0.001)
            await super().deliver(output)

    async with await running(log=Uneven()) as gateway:
        client = await Client.connect(gateway.port)
        await client.raw(b"".join(b"\r\n" + encode_frame(hl7(f"C{i}")) + b"junk" for i in range(300)))
        answers = [await client.receive() for _ in range(300)]
        assert [fields(answer, b"MSA")[2] for answer in answers] == [b"C%d" % i for i in range(300)]
        assert len(gateway.log.stored) == 300
        await client.close()


async def test_peer_that_does_not_read_is_cut() -> None:
    """Answers that nobody reads do not fill memory: reading stops, and the connection ends by the deadline."""
    async with await running(Limits(frame_deadline_s=0.5)) as gateway:
        client = await Client.connect(gateway.port)
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(encode_frame(b"x" * 3) * 200_000)
        for _ in range(60):
            await asyncio.sleep(0.1)
            if not gateway.server.connections:
                break
        assert gateway.counters.reasons == ["not_reading"]
        assert await _good(gateway.port, "after") == "AA"
        client.writer.transport.abort()


async def test_two_hundred_connections() -> None:
    """All are served at once, every message is acknowledged and stored once."""
    async with await running() as gateway:

        async def sender(name: int) -> list[str]:
            client = await Client.connect(gateway.port)
            answers = [code(await client.post(hl7(f"{name}-{i}"))) for i in range(5)]
            await client.close()
            return answers

        answers = await asyncio.gather(*map(sender, range(200)))
        assert {answer for row in answers for answer in row} == {"AA"}
        assert len(gateway.log.stored) == len(set(gateway.log.payloads)) == 1000


async def test_graceful_stop_answers_what_it_took() -> None:
    """Stopping waits for delivery reports, answers, then closes; new connections are refused."""
    log = MemoryLog()
    log.delay_s = 0.2
    gateway = await running(log=log)
    client = await Client.connect(gateway.port)
    await client.raw(encode_frame(hl7()) + encode_frame(hl7("half"))[:20])
    await asyncio.sleep(0.05)
    stopping = asyncio.create_task(gateway.server.stop(5))
    assert code(await client.receive()) == "AA"
    assert await client.receive() is None
    await stopping
    with pytest.raises(ConnectionRefusedError):
        await Client.connect(gateway.port)
    assert len(log.stored) == 1


async def test_garbage_storm_leaves_the_listener_alive() -> None:
    """Frames of mutated messages: each is answered or refused, none raises, good messages pass."""
    import random

    rng = random.Random(7)
    base = hl7(text="x" * 50)
    async with await running() as gateway:
        client = await Client.connect(gateway.port)
        for i in range(400):
            mutated = bytearray(base)
            for _ in range(rng.randint(1, 12)):
                at = rng.randrange(len(mutated))
                mutated[at : at + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 4))
            payload = bytes(mutated).replace(b"\x0b", b"").replace(b"\x1c", b"")
            await client.raw(encode_frame(payload))
            header = payload.split(b"\r", 1)[0].split(b"|")
            if len(header) > 14 and (header[14].strip() or (len(header) > 15 and header[15].strip())):
                await client.close()
                client = await Client.connect(gateway.port)
                continue
            assert code(await client.receive()) in {"AA", "AE", "AR", "CA", "CE", "CR"}, i
        await client.close()
        assert await _good(gateway.port, "after") == "AA"


async def test_a_sender_over_its_share_waits_and_another_is_served() -> None:
    """Four connections of one address hold their share of six, whatever they send; from another address a message is answered meanwhile, and when
    the log moves on everything is."""
    log = MemoryLog()
    log.gate = asyncio.Event()
    async with await running(Limits(max_in_flight_per_sender=6), log=log, max_in_flight=10) as gateway:
        flooding = [await Client.connect(gateway.port) for _ in range(4)]
        for number, client in enumerate(flooding):
            await client.raw(b"".join(encode_frame(hl7(f"f{number}-{n}")) for n in range(20)))
        async with asyncio.timeout(5):
            while gateway.intake.in_flight < 6:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert gateway.intake.in_flight == 6
        other = await Client.connect(gateway.port, source="127.0.0.2")
        await other.raw(encode_frame(hl7("other")))
        async with asyncio.timeout(5):
            while gateway.intake.in_flight < 7:
                await asyncio.sleep(0.01)
        log.gate.set()
        assert code(await other.receive()) == "AA"
        for client in flooding:
            assert [code(await client.receive()) for _ in range(20)] == ["AA"] * 20
        assert len(log.stored) == 81


async def test_a_share_is_given_back_when_its_connection_is_gone() -> None:
    """A sender that vanishes with its share taken finds it free when it comes again."""
    log = MemoryLog()
    log.gate = asyncio.Event()
    async with await running(Limits(max_in_flight_per_sender=2), log=log) as gateway:
        gone = await Client.connect(gateway.port)
        await gone.raw(b"".join(encode_frame(hl7(f"g{n}")) for n in range(5)))
        async with asyncio.timeout(5):
            while gateway.intake.in_flight < 2:
                await asyncio.sleep(0.01)
        gone.writer.transport.abort()
        await asyncio.sleep(0.05)
        log.gate.set()
        for n in range(6):
            assert await _good(gateway.port, f"again{n}") == "AA"
