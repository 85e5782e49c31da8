"""Message files on disk, and posting them the three ways that a site does: MLLP, FHIR HTTP, straight to Kafka."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx

from schemas.envelope import FHIR_JSON, HL7_V2
from schemas.errors import MalformedMessage, ReceiverUnavailable, WardstreamError
from schemas.hl7.batch import split_messages
from schemas.mllp import FrameDecoder, encode_frame
from streams import topics
from streams.producer import Producer
from streams.record import Output
from streams.settings import Settings

NDJSON = "application/fhir+ndjson"
#: How long one acknowledgement may take before the sender gives up on the connection.
ACKNOWLEDGE_TIMEOUT_S = 30.0

Format = Literal["hl7v2", "fhir", "ndjson"]
_SUFFIXES: dict[str, Format] = {".hl7": "hl7v2", ".json": "fhir", ".ndjson": "ndjson"}
_LINE_END = re.compile(rb"\r\n|\n")


@dataclass(frozen=True, slots=True)
class MessageFile:
    """``payload`` has HL7 segment ends normalised to CR; ``route`` is the first folder under the root, if any."""

    path: Path
    format: Format
    payload: bytes
    route: str

    @property
    def content_type(self) -> str:
        return {"hl7v2": HL7_V2, "fhir": FHIR_JSON, "ndjson": NDJSON}[self.format]


def read_folder(root: Path) -> Iterator[MessageFile]:
    """Every ``.hl7``, ``.json`` and ``.ndjson`` file under ``root``, in name order; other files are passed over."""
    paths = [root] if root.is_file() else sorted(root.rglob("*"))
    for path in paths:
        kind = _SUFFIXES.get(path.suffix.lower())
        if kind is None or not path.is_file():
            continue
        parts = path.relative_to(root).parts if root.is_dir() else (path.name,)
        for payload in _payloads(path.read_bytes(), kind):
            yield MessageFile(path, kind, payload, parts[0] if len(parts) > 1 else "")


def _payloads(raw: bytes, kind: Format) -> Sequence[bytes]:
    """A batch (FHS, BHS) stays whole, the door splits it; several messages one after another in a file are sent one by one."""
    if kind != "hl7v2":
        return [raw]
    raw = _LINE_END.sub(b"\r", raw)
    if raw.count(b"\rMSH") + raw.startswith(b"MSH") < 2 or raw.lstrip().startswith((b"FHS", b"BHS")):
        return [raw]
    try:
        return split_messages(raw)
    except MalformedMessage:
        return [raw]  # the door says what is wrong with it


async def post_mllp(host: str, port: int, payloads: list[bytes]) -> list[str]:
    """Send each payload on one connection, one outstanding at a time; returns MSA-1 of each answer (``AA``, ``AE``, ...).

    Raises:
        ReceiverUnavailable: no connection, or it closed or stayed silent before an answer came.
    """
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        raise ReceiverUnavailable(detail="no connection") from None
    decoder, codes = FrameDecoder(), []
    try:
        for payload in payloads:
            writer.write(encode_frame(payload))
            await writer.drain()
            frames: list[bytes] = []
            while not frames:
                chunk = await asyncio.wait_for(reader.read(65536), ACKNOWLEDGE_TIMEOUT_S)
                if not chunk:
                    raise ReceiverUnavailable(detail="connection closed before the acknowledgement")
                frames = list(decoder.feed(chunk))
            codes.append(acknowledgement_code(frames[0]))
    except (TimeoutError, OSError):
        raise ReceiverUnavailable(detail="no acknowledgement") from None
    finally:
        writer.close()
    return codes


def acknowledgement_code(frame: bytes) -> str:
    """MSA-1 of the first MSA segment, or an empty text."""
    for segment in frame.split(b"\r"):
        if segment.startswith(b"MSA") and len(segment) > 6:
            return segment[4:6].decode("ascii", "ignore")
    return ""


def post_fhir(base_url: str, token: str, message: MessageFile) -> httpx.Response:
    """POST one file to the FHIR door; raises ReceiverUnavailable when it does not answer."""
    try:
        with httpx.Client(base_url=base_url, timeout=ACKNOWLEDGE_TIMEOUT_S, trust_env=False) as client:
            return client.post(
                "/fhir",
                content=message.payload,
                headers={"content-type": message.content_type, "authorization": f"Bearer {token}"},
            )
    except httpx.HTTPError:
        raise ReceiverUnavailable(detail="the FHIR door does not answer") from None


def produce(settings: Settings, messages: Sequence[MessageFile]) -> None:
    """Produce straight to the received topic with nothing but a content type, as an integration engine may.

    Raises:
        BrokerUnavailable: not every record was stored.
    """

    async def send() -> None:
        producer = Producer(settings.kafka, client_id="wardstream-send")
        try:
            outputs = [
                Output(topics.RECEIVED, None, message.payload, (("content-type", message.content_type.encode()),))
                for message in messages
            ]
            for answer in await producer.send_all(outputs):
                if isinstance(answer, WardstreamError):
                    raise answer
        finally:
            await producer.close()

    asyncio.run(send())
