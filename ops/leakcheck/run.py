"""Post the canaries through every door, wait until the stream is at rest, search everything."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from ops.leakcheck import places
from ops.leakcheck.canaries import Canary, canaries, messages
from ops.leakcheck.search import Search
from ops.messages import MessageFile, post_fhir, produce
from ops.posting import Doors
from schemas.errors import ReceiverUnavailable
from schemas.mllp import FrameDecoder, encode_frame
from streams.settings import Settings

ANSWER_S = 20.0


@dataclass(frozen=True, slots=True)
class Report:
    """``hits``: (place, kind, form) -> count; ``answers`` of the doors by code; ``searched`` bytes by place."""

    answers: dict[str, int]
    records: int
    searched: dict[str, int]
    hits: dict[tuple[str, str, str], int]

    @property
    def clean(self) -> bool:
        return not self.hits


def leakcheck(
    settings: Settings,
    doors: Doors,
    *,
    count: int = 3,
    seed: int,
    files: Sequence[Path] = (),
    metrics: Sequence[str] = (),
    settle_s: float = 15.0,
    before_search: Callable[[Sequence[Canary]], None] = lambda _: None,
) -> Report:
    """Run the check against a running installation.

    Args:
        count: canary patients.
        seed: of the canaries; control ids depend on it, so each run on one installation wants another.
        files: logs, traces, dumps; read after the stream is at rest.
        metrics: URLs.
        settle_s: how long no new record may appear before the search begins.
        before_search: called with the canaries between the two halves.

    Raises:
        BrokerUnavailable, ReceiverUnavailable, redis.RedisError, httpx.HTTPError: a place could not be reached.
    """
    patients = canaries(count, seed)
    search = Search(patients)
    answers: Counter[str] = Counter()
    for number, canary in enumerate(patients):
        _post(messages(canary, number), doors, settings, search, answers)
    before_search(patients)
    records = places.search_topics(search, settings.kafka, quiet_s=settle_s)
    places.search_store(search, settings.redis)
    places.search_metrics(search, metrics)
    places.search_files(search, files)
    return Report(dict(sorted(answers.items())), records, dict(search.searched), dict(sorted(search.hits.items())))


def _post(files: Sequence[MessageFile], doors: Doors, settings: Settings, search: Search, answers: Counter[str]) -> None:
    for file in files:
        if file.route == "kafka":
            produce(settings, [file])
            answers["kafka stored"] += 1
        elif file.format == "hl7v2":
            answer = asyncio.run(_mllp(doors, file.payload))
            answers[f"mllp {_code(answer)}"] += 1
            search.look("MLLP answers", _without_echo(answer))
        else:
            response = post_fhir(doors.http_url, doors.http_token, file)
            answers[f"http {response.status_code}"] += 1
            search.look("HTTP answers", response.content + b"\n" + repr(response.headers.raw).encode())
    canary = files[0].payload
    # what a door says to someone without the right token, on a path that does not exist
    with suppress(ValueError):
        response = httpx.post(f"{doors.http_url}/fhir/{search_word(canary)}", content=canary, timeout=10, trust_env=False)
        answers[f"http {response.status_code}"] += 1
        search.look("HTTP answers", response.content)


def search_word(payload: bytes) -> str:
    """PID-5.1 of the first message: a name in a URL, as a careless client would put it there."""
    return payload.split(b"\rPID|")[1].split(b"|")[5].split(b"^")[0].decode()


async def _mllp(doors: Doors, payload: bytes) -> bytes:
    """The answer, empty where the door closes instead (an oversize frame)."""
    try:
        reader, writer = await asyncio.open_connection(doors.mllp_host, doors.mllp_port)
    except OSError:
        raise ReceiverUnavailable(detail="no connection") from None
    decoder = FrameDecoder()
    answer = b""
    try:
        writer.write(encode_frame(payload))
        await writer.drain()
        deadline = time.monotonic() + ANSWER_S
        while time.monotonic() < deadline:
            chunk = await asyncio.wait_for(reader.read(65536), ANSWER_S)
            frames = list(decoder.feed(chunk)) if chunk else []
            if frames or not chunk:
                answer = frames[0] if frames else b""
                break
    except (TimeoutError, OSError):
        answer = b""
    finally:
        writer.close()
    return answer


def _code(answer: bytes) -> str:
    return next((s.split(b"|")[1].decode("ascii", "replace") for s in answer.split(b"\r") if s.startswith(b"MSA|")), "closed")


def _without_echo(answer: bytes) -> bytes:
    """MSH-9 to MSH-12 of an answer repeat the sender's own type and version to the sender; everything else must not."""
    return b"\r".join(s for s in answer.split(b"\r") if not s.startswith(b"MSH"))
