"""The HL7 door under arbitrary payloads: always one well-formed answer or a wanted silence, never an exception, never a quote."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.acknowledge import Outcome
from gateway.duplicates import MemoryLedger
from gateway.header import read_header
from gateway.hl7 import Hl7Door
from gateway.intake import Intake
from schemas.errors import Reason
from tests.support.gateway import ROUTING, MemoryLog, clock, hl7

_BASE = hl7(text="Smith 77001 1970-01-01")
_EDIT = st.tuples(st.integers(0, len(_BASE)), st.integers(0, 6), st.binary(max_size=6))
_MUTATED = st.lists(_EDIT, max_size=8)


def _door(log: MemoryLog, outcomes: list[Outcome]) -> Hl7Door:
    intake = Intake(log, max_in_flight=10, clock=clock)
    return Hl7Door(intake, MemoryLedger(), ROUTING, charset_fallback="cp1252", observe=outcomes.append)


def _check(payload: bytes) -> None:
    outcomes: list[Outcome] = []

    async def take() -> tuple[bytes | None, int]:
        log = MemoryLog()
        door = _door(log, outcomes)
        answer = await door.answer(payload)
        await door.drained()
        return answer, len(log.stored)

    answer, stored = asyncio.run(take())
    assert outcomes or not answer or b"BTS" in answer
    assert Reason.UNEXPECTED not in {outcome.reason for outcome in outcomes}
    header = read_header(payload, (b"MSH", b"BHS", b"FHS"))
    if answer is None:
        assert header is not None
        assert header.fields[0] != b"MSH" or header.get(15).strip()
        return
    assert answer.startswith((b"MSH", b"BHS", b"FHS"))
    assert not set(answer) & {0x0B, 0x1C, 0x0A}
    assert b"Smith" not in answer
    assert b"1970-01-01" not in answer  # the whole date: a random control id may hold "1970"
    if payload[:3] == b"MSH" and header is not None:
        code = next(line for line in answer.split(b"\r") if line[:3] == b"MSA")[4:6]
        assert (code in (b"AA", b"CA")) == (stored == 1)


@settings(max_examples=300, deadline=None)
@given(_MUTATED)
def test_mutated_messages(edits: list[tuple[int, int, bytes]]) -> None:
    """A message with bytes cut, changed and put in: accepted exactly when stored."""
    payload = bytearray(_BASE)
    for at, length, new in edits:
        payload[at : at + length] = new
    _check(bytes(payload))


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=200), st.sampled_from([b"", b"MSH", b"MSH|", b"MSH|^~\\&|", b"FHS|^~\\&|\rBHS|^~\\&|\r", b"BHS|^~\\&|"])
)
def test_arbitrary_bytes(tail: bytes, head: bytes) -> None:
    """Anything after any beginning."""
    _check(head + tail)
