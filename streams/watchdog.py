"""Is the stream moving? Judged by what the broker knows: end offsets and committed offsets of the partitions that are ours.

Consumers can die slowly without an exception (faust-streaming #175); only an outside look notices. A partition is late when it
has records beyond the committed offset; the commit age is how long the oldest such partition has not moved.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaException, TopicPartition

from streams import clients
from streams.settings import Kafka

Partition = tuple[str, int]


@dataclass(slots=True)
class CommitAge:
    """Pure: feed with ``observe``, ask ``age``. Times are seconds of one monotonic clock."""

    _seen: dict[Partition, tuple[int, float]] = field(default_factory=dict)
    _late: set[Partition] = field(default_factory=set)

    def observe(self, partition: Partition, *, committed: int, end: int, now: float) -> None:
        """``committed`` is the next offset to read (0 when nothing was committed yet), ``end`` the log's end offset."""
        before = self._seen.get(partition)
        if before is None or before[0] != committed or partition not in self._late:
            self._seen[partition] = (committed, now)
        if end > committed:
            self._late.add(partition)
        else:
            self._late.discard(partition)

    def keep(self, partitions: Collection[Partition]) -> None:
        """Forget partitions that are no longer ours."""
        for gone in set(self._seen) - set(partitions):
            del self._seen[gone]
            self._late.discard(gone)

    def age(self, now: float) -> float:
        return max((now - self._seen[partition][1] for partition in self._late), default=0.0)


class Watchdog:
    """Looks every ``interval_s`` from a thread of its own; calls ``on_look(age_s, lag)`` each time, from that thread.

    ``lag`` is ``None`` when the broker did not answer: no news is not a stall, but it is not readiness either.
    """

    def __init__(
        self,
        kafka: Kafka,
        group: str,
        *,
        assigned: Callable[[], Collection[Partition]],
        on_look: Callable[[float, int | None], None],
        clock: Callable[[], float],
        interval_s: float = 5.0,
    ) -> None:
        self._kafka = kafka
        self._group = group
        self._assigned = assigned
        self._on_look = on_look
        self._clock = clock
        self._interval_s = interval_s
        self._age = CommitAge()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        # never subscribes, so it is no member of the group
        consumer = Consumer({**clients.librdkafka(self._kafka, client_id="watchdog"), "group.id": self._group, "log_level": 0})
        try:
            while not self._stop.wait(self._interval_s):
                try:
                    lag: int | None = self._look(consumer)
                except KafkaException:
                    lag = None
                self._on_look(self._age.age(self._clock()), lag)
        finally:
            consumer.close()

    def _look(self, consumer: Consumer) -> int:
        mine = set(self._assigned())
        self._age.keep(mine)
        if not mine:
            return 0
        lag = 0
        for place in consumer.committed([TopicPartition(topic, number) for topic, number in sorted(mine)], timeout=5):
            low, end = consumer.get_watermark_offsets(place, timeout=5)
            committed = place.offset if place.offset >= 0 else low
            lag += max(0, end - committed)
            self._age.observe((place.topic, place.partition), committed=committed, end=end, now=self._clock())
        return lag
