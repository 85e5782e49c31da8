"""One MLLP payload in, one acknowledgement out: judge, look for duplicates, store, answer.

Message or batch; the table that it follows is ``gateway.acknowledge``. Stored bytes are the bytes as received (line ends and byte
order mark included): the reader downstream tolerates them, and the raw topic stays evidence of what was sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable

import structlog

from gateway.acknowledge import DUPLICATE, EVENT_PATH, STORED, UNAVAILABLE, Outcome, acknowledge
from gateway.batch import acknowledge_batch, split
from gateway.duplicates import Ledger
from gateway.header import Header, read_header, trim
from gateway.intake import Intake
from gateway.routing import RoutingKey, hl7_patient
from schemas.envelope import HL7_V2
from schemas.errors import MalformedMessage, Poison, Reason, Retryable, WardstreamError
from schemas.hl7.er7 import parse
from schemas.identity import Identifier
from schemas.ids import source_id
from streams.logs import describe

SOURCE = "/mllp"

_log = structlog.get_logger("gateway")

#: Message codes (table 0076) that report something about patients or are broadcast beside it. Queries and acknowledgements are
#: not: they want an answer that nothing here can give.
SUPPORTED = frozenset(
    b"ADT BAR BPS BRP BTS CRM CSU DFT EHC MDM MFN OMB OMD OMG OMI OML OMN OMP OMQ OMS OPL OPR OPU ORA ORB ORD ORF ORG ORI ORL "
    b"ORM ORN ORP ORR ORS ORU OSM OSR OUL PEX PGL PIN PPG PPP PPR PPT PPV PRR PTR RAS RDE RDS REF RGV RPI RRA RRD RRE RRG "
    b"RRI SIU SRM SRR SUR VXU VXX".split()
)
_EVENT = re.compile(rb"[A-Z][0-9A-Z]{2}")
_VERSION = re.compile(rb"2(\.[1-9](\.[1-9])?)?")
_PROCESSING = frozenset((b"", b"P", b"T", b"D"))
#: Reading below this size is quicker than handing it to a thread.
INLINE_BYTES = 262_144
#: Never legal inside a payload (MLLP); their presence means that frames or characters were mixed up.
_FRAME_BYTES = (b"\x0b", b"\x1c")
#: Messages of one batch that are stored at the same time.
_BATCH_WINDOW = 200

Observer = Callable[[Outcome], None]


class Hl7Door:
    """Pure of sockets, so that MLLP and tests drive it alike.

    Args:
        charset_fallback: codec of messages whose MSH-18 does not fit.
        observe: told every message's outcome (metrics).
    """

    def __init__(
        self, intake: Intake, ledger: Ledger, routing: RoutingKey, *, charset_fallback: str, observe: Observer = lambda _: None
    ) -> None:
        self._intake = intake
        self._ledger = ledger
        self._routing = routing
        self._charset_fallback = charset_fallback
        self._observe = observe
        self._ongoing: dict[bytes, tuple[bytes, asyncio.Future[Outcome]]] = {}
        self._recording: set[asyncio.Task[None]] = set()

    async def answer(self, payload: bytes) -> bytes | None:
        """Take one frame's payload; the acknowledgement to send back, ``None`` where the sender asked for none."""
        try:
            if trim(payload[:64])[:3] in (b"FHS", b"BHS"):
                return await self._answer_batch(payload)
            header = read_header(payload)
            return self._reply(payload, header, await self._take(payload, header))
        except Exception as error:
            return self.refuse(payload, _failed(error))

    def refuse(self, payload: bytes, outcome: Outcome) -> bytes | None:
        """The acknowledgement of a frame (or its head) with this outcome; also for frames that never became a message."""
        header = read_header(payload, (b"MSH", b"BHS", b"FHS"))
        if header is not None and header.fields[0] != b"MSH":
            header = Header(header.separator, header.encoding, _as_msh(header))
        return self._reply(payload, header, outcome)

    def _reply(self, payload: bytes, header: Header | None, outcome: Outcome) -> bytes | None:
        self._observe(outcome)
        return acknowledge(header, outcome, now=self._intake.now(), control_id=_control_id(payload))

    async def drained(self) -> None:
        """Wait until the ledger has heard of everything that was stored."""
        if self._recording:
            await asyncio.wait(self._recording)

    async def _take(self, payload: bytes, header: Header | None) -> Outcome:
        try:
            return await self._store(payload, header)
        except Poison as error:
            return Outcome(error.reason, error.path or "")
        except Retryable:
            return UNAVAILABLE
        except Exception as error:
            return _failed(error)

    async def _store(self, payload: bytes, header: Header | None) -> Outcome:
        if header is None or any(byte in payload for byte in _FRAME_BYTES):
            return Outcome(Reason.MALFORMED_HL7, "MSH")
        # A large message would keep every other sender waiting while it is read.
        in_thread = len(payload) > INLINE_BYTES
        patient = await asyncio.to_thread(self._read, payload) if in_thread else self._read(payload)
        refusal = _judge(header)
        if refusal is not None:
            return refusal
        digest = hashlib.sha256(payload).digest()
        name = (header.get(3), header.get(4), header.control_id)
        key = self._routing.digest("message", *name)
        ongoing = self._ongoing.get(key)
        if ongoing is not None:
            return await _same(ongoing, digest)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._ongoing[key] = (digest, future)
        outcome = UNAVAILABLE
        try:
            known = await self._ledger.find(key)
            if known is not None:
                outcome = DUPLICATE if known == digest else Outcome(Reason.DUPLICATE_CONTROL_ID, "MSH-10")
                return outcome
            await self._intake.store(
                payload,
                record_id=source_id("hl7v2", *(part.decode("latin-1") for part in name), digest.hex()),
                key=self._routing.patient(patient) if patient else key,
                source=SOURCE,
                content_type=HL7_V2,
            )
            outcome = STORED
            return outcome
        finally:
            future.set_result(outcome)
            if outcome is STORED:
                self._record(key, digest)
            else:
                del self._ongoing[key]

    def _read(self, payload: bytes) -> Identifier | None:
        """Who it is about; raises MalformedMessage for what no reader downstream could read either."""
        return hl7_patient(parse(payload, charset_fallback=self._charset_fallback))

    def _record(self, key: bytes, digest: bytes) -> None:
        """Write the ledger behind the acknowledgement; until it is written the message counts as ongoing."""

        def done(task: asyncio.Task[None]) -> None:
            self._recording.discard(task)
            self._ongoing.pop(key, None)

        task = asyncio.ensure_future(self._ledger.record(key, digest))
        self._recording.add(task)
        task.add_done_callback(done)

    async def _answer_batch(self, payload: bytes) -> bytes | None:
        try:
            batch = split(payload)
        except MalformedMessage as error:
            return self.refuse(payload, Outcome(error.reason, error.path or ""))
        answers: list[bytes] = []
        for start in range(0, len(batch.messages), _BATCH_WINDOW):
            window = batch.messages[start : start + _BATCH_WINDOW]
            headers = [read_header(message) for message in window]
            outcomes = await asyncio.gather(*map(self._take, window, headers))
            for message, header, outcome in zip(window, headers, outcomes, strict=True):
                answer = self._reply(message, header, outcome)
                if answer is not None:
                    answers.append(answer)
        return acknowledge_batch(batch, answers, now=self._intake.now())


async def _same(ongoing: tuple[bytes, asyncio.Future[Outcome]], digest: bytes) -> Outcome:
    """The outcome of a message that is being stored already under the same name."""
    if ongoing[0] != digest:
        return Outcome(Reason.DUPLICATE_CONTROL_ID, "MSH-10")
    outcome = await asyncio.shield(ongoing[1])
    return DUPLICATE if outcome == STORED else outcome


def _failed(error: Exception) -> Outcome:
    """The listener and the sender's queue must go on; type and place are all that is told, the text could quote the message."""
    _log.error("message_failed", **describe(error))
    return Outcome(error.reason if isinstance(error, WardstreamError) else Reason.UNEXPECTED)


def _judge(header: Header) -> Outcome | None:
    """What MSH alone refuses."""
    if header.component(9, 1).strip() not in SUPPORTED:
        return Outcome(Reason.UNSUPPORTED_MESSAGE_TYPE, "MSH-9")
    event = header.component(9, 2).strip()
    if event and not _EVENT.fullmatch(event):
        return Outcome(Reason.UNSUPPORTED_MESSAGE_TYPE, EVENT_PATH)
    if header.component(11, 1).strip() not in _PROCESSING:
        return Outcome(Reason.UNSUPPORTED_PROCESSING_ID, "MSH-11")
    if not _VERSION.fullmatch(header.component(12, 1).strip()):
        return Outcome(Reason.UNSUPPORTED_VERSION, "MSH-12")
    if not header.control_id:
        return Outcome(Reason.MISSING_CONTROL_ID, "MSH-10")
    return None


def _control_id(payload: bytes) -> bytes:
    """MSH-10 of an answer (20 characters before v2.7): derived, so that a resent message gets the same one."""
    return hashlib.sha256(payload).hexdigest()[:20].upper().encode()


def _as_msh(header: Header) -> tuple[bytes, ...]:
    """FHS and BHS fields 1-7 in the places of MSH, their control id in MSH-10."""
    return (b"MSH", *(header.get(n) for n in range(1, 8)), b"", b"", header.control_id)
