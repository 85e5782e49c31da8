"""What the log says afterwards, read from its beginning by a reader that knows nothing of how the stream works."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from schemas.errors import Retryable
from streams import topics
from streams.record import Record
from streams.settings import Kafka
from streams.tail import tail

ONE_EACH = (topics.READY, topics.EXTRACTED, topics.RAISED, topics.BUNDLE)
DEAD = tuple(topics.dead_letter(topic) for topic in (topics.RECEIVED, *ONE_EACH[:3]))

#: For the reader to come to the end of what there is.
_THERE_S = 30.0


@dataclass(frozen=True, slots=True)
class Found:
    """Counts over all stages, unless said.

    Attributes:
        lost: acknowledged messages without a published result and without a dead letter.
        doubled: effects beyond one a message and topic, by id; ``raw_doubles``: records beyond one, as a consumer that does not upsert sees them.
        changed: effects whose bytes differ between two deliveries of one record. A message that was received twice, because its
            sender had no answer while the ledger did not answer either, is two records of one id, each with its time of receipt.
        order: results of one patient that stand in another order than the patient's messages were stored.
        stall_ms: longest pause between two published results.
        reasons: dead letters by stage and reason.
    """

    received: int
    published: int
    dead: int
    lost: int
    doubled: int
    raw_doubles: int
    changed: int
    order: int
    stall_ms: int
    reasons: dict[str, int]
    times: tuple[int, ...]


def check(kafka: Kafka, sent: int) -> Found:
    """Raises BrokerUnavailable."""
    return judge(tail(kafka, (topics.RECEIVED, *ONE_EACH, *DEAD), to_end=True), sent)


def judge(records: Iterable[Record], sent: int) -> Found:
    """``sent``: messages that were acknowledged."""
    place: dict[str, tuple[int, int]] = {}
    dead: set[str] = set()
    reasons: Counter[str] = Counter()
    ids: dict[str, dict[str, set[str]]] = {topic: defaultdict(set) for topic in ONE_EACH}
    bodies: dict[tuple[str, str, bytes], set[bytes]] = defaultdict(set)
    order: dict[bytes, list[str]] = defaultdict(list)
    times: list[int] = []
    raw = 0
    for record in records:
        headers = dict(record.headers)
        origin = headers.get("ce_origin", b"").decode()
        if record.topic == topics.RECEIVED:
            place.setdefault(origin, (record.partition, record.offset))
        elif record.topic.endswith(".dlq"):
            dead.add(origin)
            reasons[f"{headers.get('x-stage', b'').decode()} {headers.get('x-error-code', b'').decode()}"] += 1
        else:
            raw += 1
            identity = headers["ce_id"].decode()
            first = origin not in ids[record.topic]
            ids[record.topic][origin].add(identity)
            bodies[record.topic, identity, headers.get("ce_time", b"")].add(record.value or b"")
            if record.topic == topics.BUNDLE and first:
                times.append(record.timestamp)
                order[record.key or b""].append(origin)
    effects = sum(len(found) for rows in ids.values() for found in rows.values())
    times.sort()
    return Found(
        received=len(place),
        published=len(ids[topics.BUNDLE]),
        dead=len(dead),
        lost=sent - len(ids[topics.BUNDLE].keys() | dead),
        doubled=effects - sum(map(len, ids.values())),
        raw_doubles=raw - effects,
        changed=sum(len(values) > 1 for values in bodies.values()),
        order=sum(_inversions([place[origin] for origin in row if origin in place]) for row in order.values()),
        stall_ms=max((b - a for a, b in itertools.pairwise(times)), default=0),
        reasons=dict(reasons),
        times=tuple(times),
    )


@dataclass(slots=True)
class Progress:
    """Messages of which a result or a dead letter was seen."""

    origins: set[bytes]

    @property
    def ended(self) -> int:
        return len(self.origins)


@contextmanager
def following(kafka: Kafka) -> Iterator[Progress]:
    """Count in a thread while the block runs; it begins when the reader stands at the end of what there is, so that nothing is seen late."""
    progress, stop, there = Progress(set()), threading.Event(), threading.Event()

    def follow() -> None:
        while not stop.is_set():
            with suppress(Retryable):
                for record in tail(kafka, (topics.BUNDLE, *DEAD), stop=stop.is_set, caught_up=there.set):
                    progress.origins.add(dict(record.headers).get("ce_origin", b""))
            time.sleep(0.2)

    thread = threading.Thread(target=follow, name="following", daemon=True)
    thread.start()
    there.wait(_THERE_S)
    try:
        yield progress
    finally:
        stop.set()
        thread.join(20)


def recovery_s(found: Found, happened: Sequence[tuple[str, float]]) -> float:
    """Longest time from a fault to the next published result, in seconds."""
    waits = [min((t for t in found.times if t >= at * 1000), default=None) for _, at in happened]
    return round(
        max((wait / 1000 - at for wait, (_, at) in zip(waits, happened, strict=True) if wait is not None), default=0.0), 1
    )


def settled(kafka: Kafka, sent: int, *, timeout_s: float) -> bool:
    """Wait until every acknowledged message has an end, as far as the log tells."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if check(kafka, sent).lost <= 0:
            return True
        time.sleep(2)
    return False


def _inversions(places: list[tuple[int, int]]) -> int:
    return sum(a > b for a, b in itertools.pairwise(places))
