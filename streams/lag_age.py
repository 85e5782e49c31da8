"""How old the first unread record of a partition is, asked by timestamp look-ups alone: no record is read, so ``Describe`` suffices.

Kafka answers "first offset at or after time t"; the latest t whose answer is not beyond the committed offset is the age. A
geometric search finds it within 5 % (one second at least) in about ten requests for all partitions together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, OffsetSpec

from schemas.errors import BrokerUnavailable
from streams import clients
from streams.admin import Lag, offsets_at
from streams.settings import Kafka

OLDEST_S = 30 * 86_400.0
_PRECISION = 1.05

Place = tuple[str, int]


def oldest(kafka: Kafka, rows: Sequence[Lag], *, now: float) -> dict[tuple[str, int], float]:
    """Seconds since the time stamp of the first unread record, by (group, partition); rows without lag are left out.

    Args:
        now: Unix time, seconds.

    Ages are capped at ``OLDEST_S``. Raises BrokerUnavailable.
    """
    behind = [row for row in rows if row.records]
    if not behind:
        return {}
    client = AdminClient({**clients.librdkafka(kafka, client_id="wardstream-lag"), "log_level": 3})
    places = {(kafka.topic_prefix + row.topic, row.partition) for row in behind}
    starts = _first_at(client, {place: OffsetSpec.earliest() for place in places})
    ages: dict[tuple[str, int], float] = {}
    # groups that read the same topic stand at different offsets, so each is searched on its own
    for group in sorted({row.group for row in behind}):
        mine = {(kafka.topic_prefix + row.topic, row.partition): row for row in behind if row.group == group}
        first = {place: max(row.committed or 0, starts[place]) for place, row in mine.items()}
        bounds = dict.fromkeys(mine, (1.0, OLDEST_S))
        while any(high > max(low * _PRECISION, low + 1) for low, high in bounds.values()):
            middle = {place: math.sqrt(low * high) for place, (low, high) in bounds.items()}
            specs = {place: OffsetSpec.for_timestamp(round((now - age) * 1000)) for place, age in middle.items()}
            for place, offset in _first_at(client, specs).items():
                low, high = bounds[place]
                at_least_as_old = offset < 0 or offset > first[place]
                bounds[place] = (middle[place], high) if at_least_as_old else (low, middle[place])
        ages |= {(group, row.partition): bounds[place][1] for place, row in mine.items()}
    return ages


def _first_at(client: AdminClient, specs: dict[Place, OffsetSpec]) -> dict[Place, int]:
    try:
        return offsets_at(client, specs)
    except KafkaException as error:
        raise BrokerUnavailable(path="kafka.bootstrap", detail=error.args[0].name()) from None
