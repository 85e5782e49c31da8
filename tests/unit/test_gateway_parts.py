"""The gateway's small parts: header bytes, record keys, tokens, the duplicate ledger, routing of HL7 and FHIR."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import pytest
from starlette.applications import Starlette

from gateway import duplicates
from gateway.access import Tokens
from gateway.acknowledge import Outcome, acknowledge, classify
from gateway.duplicates import RedisLedger
from gateway.header import read_header
from gateway.listener import HttpListener
from gateway.routing import RoutingKey, fhir_patient, hl7_patient
from schemas.errors import ConfigurationError, Reason
from schemas.hl7.er7 import parse
from schemas.identity import Identifier
from streams import embedded, store
from streams.keyring import Keyring
from streams.settings import Redis
from tests.support.gateway import NOW, ROUTING, hl7

# Header


def test_header_of_a_normal_message() -> None:
    """Fields, components and the control id as they were sent."""
    header = read_header(hl7("ID 7"))
    assert header is not None
    assert (header.get(3), header.component(9, 2), header.control_id, header.get(99)) == (b"LAB", b"R01", b"ID 7", b"")


@pytest.mark.parametrize("payload", [b"", b"MSH", b"MSHA", b"PID|1", b"MSH\x00", b"MSH\r", b"MSH\xe9^~", b"  ", b"msh|^~\\&|"])
def test_no_header(payload: bytes) -> None:
    """What has no usable MSH has no header."""
    assert read_header(payload) is None


def test_header_with_a_short_msh_2() -> None:
    """One encoding character is enough to find components."""
    header = read_header(b"MSH|^|A||||||ADT^A01|7")
    assert header is not None
    assert (header.component(9, 1), header.control_id) == (b"ADT", b"7")


def test_long_header_is_capped() -> None:
    """A header of a megabyte does not make a large answer."""
    payload = b"MSH|^~\\&|" + b"x" * 1_000_000 + b"|A\r"
    answer = acknowledge(read_header(payload), Outcome(Reason.TOO_LARGE), now=NOW, control_id=b"1")
    assert answer is not None
    assert len(answer) < 10_000


def test_control_bytes_are_not_echoed() -> None:
    """An echoed field can neither end the frame nor the segment."""
    header = read_header(b"MSH|^~\\&|A\x1cB|F||||| ADT^A01|7\x1c\x0b8|P|2.5\r")
    answer = acknowledge(header, Outcome(), now=NOW, control_id=b"1")
    assert answer is not None
    assert not set(answer) & {0x0B, 0x1C}


def test_every_reason_has_a_class() -> None:
    """No reason is answered with an accept."""
    assert all(classify(Outcome(reason))[0].value != b"A" for reason in Reason)


# Keys


def test_one_patient_one_key() -> None:
    """Equal authority and number give one key; another authority, another master key or purpose give another."""
    first = Identifier(value="77001", system="NORTH")
    assert ROUTING.patient(first) == ROUTING.patient(Identifier(value=" 77001", system="NORTH", type="MR"))
    others = {ROUTING.patient(Identifier(value="77001", system="SOUTH")), RoutingKey(Keyring.of(bytes(32))).patient(first)}
    assert ROUTING.patient(first) not in others | {ROUTING.digest("message", b"NORTH", b"77001")}
    assert b"77001" not in ROUTING.patient(first)
    assert len(ROUTING.patient(first)) == 24


@pytest.mark.parametrize(
    ("pid", "expected"),
    [
        ("PID|1||77001^^^NORTH^MR", ("77001", "NORTH")),
        ("PID|1||900^^^GOV^SS~77001^^^NORTH^MR", ("77001", "NORTH")),
        ("PID|1||900^^^GOV^PI~901^^^GOV^XX", ("900", "GOV")),
        ("PID|1||^^^NORTH^MR~5^^^X", ("5", "X")),
        ("PID|1|42^^^OLD", ("42", "OLD")),
        ("PID|1|||43", ("43", "")),
        ("PID|1", None),
        ("", None),
    ],
)
def test_routing_identifier_of_hl7(pid: str, expected: tuple[str, str] | None) -> None:
    """MR first, then any of PID-3, then PID-2 and PID-4; none without PID."""
    found = hl7_patient(parse(hl7(patient=pid)))
    assert (None if found is None else (found.value, found.system)) == expected


def test_routing_does_not_grow_with_repetitions() -> None:
    """A hundred thousand repetitions of PID-3 are read no slower than the message itself."""
    message = parse(hl7(patient="PID|1||" + "1^^^A^XX~" * 99_000))
    begun = time.perf_counter()
    assert hl7_patient(message) == Identifier(value="1", system="A", type="XX")
    assert time.perf_counter() - begun < 1


def test_merge_routes_by_survivor() -> None:
    """A40: PID is the survivor, MRG does not matter."""
    merge = hl7(kind="ADT^A40", patient="PID|1||77001^^^NORTH^MR\rMRG|99^^^NORTH^MR")
    found = hl7_patient(parse(merge))
    assert found is not None
    assert found.value == "77001"


def test_routing_of_fhir() -> None:
    """The logical id that patient and subject share; a business identifier where there is no id; else nothing."""
    subject = {"resourceType": "Observation", "subject": {"reference": "https://ehr/fhir/Patient/p1"}}
    named = {"resourceType": "Observation", "subject": {"identifier": {"system": "s", "value": "v"}}}
    anonymous = {"resourceType": "Patient", "identifier": [{"system": "s", "value": "v"}]}
    assert fhir_patient(subject) == fhir_patient({"resourceType": "Patient", "id": "p1"})
    assert fhir_patient(named) == fhir_patient(anonymous) == Identifier(value="v", system="s")
    assert fhir_patient({"resourceType": "Organization", "id": "p1"}) is None


def test_token_file(tmp_path: Path) -> None:
    """Tokens of at least 16 characters, one a line; an empty file opens nothing."""
    path = tmp_path / "tokens"
    path.write_text("first-token-long-enough\n\nsecond-token-long-enough\n")
    tokens = Tokens.load(path)
    assert tokens.accept(b"first-token-long-enough")
    assert tokens.accept(b"second-token-long-enough")
    assert not tokens.accept(b"")
    for content in ("", "\n", "short"):
        path.write_text(content)
        with pytest.raises(ConfigurationError, match=r"gateway\.http_token_file"):
            Tokens.load(path)


# Ledger, on a real Redis


async def test_ledger_finds_what_it_recorded(redis_server: str) -> None:
    """Many at a time, each its own answer; another installation on the same Redis knows nothing of it."""
    redis = store.connect(Redis(url=redis_server))
    loop = asyncio.get_running_loop()
    ledger = RedisLedger(redis, namespace="a.", ttl_s=60, monotonic=loop.time)
    await asyncio.gather(*(ledger.record(b"k%d" % n, b"d%d" % n) for n in range(50)))
    assert await asyncio.gather(*(ledger.find(b"k%d" % n) for n in range(51))) == [b"d%d" % n for n in range(50)] + [None]
    other = RedisLedger(redis, namespace="b.", ttl_s=60, monotonic=loop.time)
    assert await other.find(b"k1") is None
    assert 0 < await redis.ttl("a.gateway:acknowledged:k1") <= 60
    await redis.aclose()


async def test_ledger_forgets_after_its_time(redis_server: str) -> None:
    """A resend is recognised for the configured time and no longer."""
    redis = store.connect(Redis(url=redis_server))
    ledger = RedisLedger(redis, namespace="ttl.", ttl_s=1, monotonic=asyncio.get_running_loop().time)
    await ledger.record(b"k", b"d")
    await asyncio.sleep(1.2)
    assert await ledger.find(b"k") is None
    await redis.aclose()


async def test_ledger_without_redis_answers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot tell, counts one failure, rests, and asks again after the rest."""
    monkeypatch.setattr(duplicates, "REST_S", 10.0)
    failures: list[int] = []
    now = [0.0]
    redis = store.connect(Redis(url=f"redis://127.0.0.1:{embedded.free_port()}/0"))
    ledger = RedisLedger(redis, namespace="", ttl_s=60, monotonic=lambda: now[0], failed=lambda: failures.append(1))
    assert await ledger.find(b"k") is None
    await ledger.record(b"k", b"d")
    assert [await ledger.find(b"k") for _ in range(20)] == [None] * 20
    assert len(failures) == 1
    now[0] = 11.0
    assert await ledger.find(b"k") is None
    assert len(failures) == 2
    await redis.aclose()


async def test_answers_do_not_wait_for_acknowledgements_of_their_head() -> None:
    """The HTTP doors listen without Nagle's algorithm, which would hold every answer's body for 40 ms."""
    door = HttpListener(Starlette(), None, patience_s=1)
    await door.start("127.0.0.1", 0)
    try:
        (listening,) = door._server.servers[0].sockets
        assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    finally:
        await door.stop()
