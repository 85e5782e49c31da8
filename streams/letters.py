"""Dead letters as people meet them: read from their topics, chosen, put back where they came from, or put aside for good.

Kafka deletes no single record. What was handled is therefore said on a topic of its own, keyed by the letter's place, and a list leaves it out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from schemas.handled import Handled
from streams import dead_letters, topics
from streams.record import Record
from streams.settings import Kafka
from streams.tail import tail

Place = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter; every text is a code, a path or a name of ours, never content. ``time``: when it was refused, milliseconds since 1970.

    ``origin`` is where it came from: topic, partition, offset.
    """

    place: Place
    time: int
    reason: str
    path: str
    stage: str
    attempts: int
    redrives: int
    source: str
    message: str
    origin: Place
    size: int
    record: Record = field(repr=False)

    @property
    def name(self) -> str:
        """``topic/partition/offset``, as the commands take it."""
        return "/".join(map(str, self.place))


@dataclass(frozen=True, slots=True)
class Choice:
    """What is wanted; an empty set or ``None`` is everything. ``since`` and ``until`` (exclusive) are aware instants of the refusal."""

    reasons: frozenset[str] = frozenset()
    stages: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, letter: Letter) -> bool:
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.stages or letter.stage in self.stages)
            and (not self.sources or letter.source in self.sources)
            and (not self.names or letter.name in self.names)
            and (self.since is None or letter.time >= self.since.timestamp() * 1000)
            and (self.until is None or letter.time < self.until.timestamp() * 1000)
        )


def dead_letter_topics() -> list[str]:
    return [topics.dead_letter(topic.name) for topic in topics.TOPICS if topic.dead_letters]


def read(kafka: Kafka, choice: Choice, *, handled: bool = False) -> Iterator[Letter]:
    """Letters in the logs as far as they go now, those that were handled only with ``handled``. Raises BrokerUnavailable."""
    done = {} if handled else handled_places(kafka)
    for record in tail(kafka, dead_letter_topics(), to_end=True):
        letter = letter_of(record)
        if letter is not None and letter.place not in done and choice.takes(letter):
            yield letter


def handled_places(kafka: Kafka) -> dict[Place, Handled]:
    """What was done, by the letter's place. Raises BrokerUnavailable."""
    found: dict[Place, Handled] = {}
    for record in tail(kafka, [topics.HANDLED], to_end=True):
        try:
            row = msgspec.json.decode(record.value or b"", type=Handled)
        except (msgspec.MsgspecError, UnicodeDecodeError):  # not ours: it hides nothing
            continue
        found[row.topic, row.partition, row.offset] = row
    return found


def letter_of(record: Record) -> Letter | None:
    """``None`` for a record that no stage of ours refused."""
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    if dead_letters.ERROR_CODE not in headers:
        return None
    origin = (
        headers.get(dead_letters.ORIGINAL_TOPIC, ""),
        _number(headers.get(dead_letters.ORIGINAL_PARTITION)),
        _number(headers.get(dead_letters.ORIGINAL_OFFSET)),
    )
    return Letter(
        place=(record.topic, record.partition, record.offset),
        time=record.timestamp,
        reason=headers[dead_letters.ERROR_CODE],
        path=headers.get(dead_letters.ERROR_FIELD, ""),
        stage=headers.get(dead_letters.STAGE, ""),
        attempts=_number(headers.get(dead_letters.ATTEMPTS)),
        redrives=_number(headers.get(dead_letters.REDRIVES)),
        source=headers.get("ce_source", ""),
        message=headers.get("ce_origin", ""),
        origin=origin,
        size=len(record.value or b""),
        record=record,
    )


def counts(letters: Collection[Letter] | Sequence[Letter]) -> dict[tuple[str, str, str], int]:
    """How many by topic, stage and reason."""
    found: dict[tuple[str, str, str], int] = {}
    for letter in letters:
        key = (letter.place[0], letter.stage, letter.reason)
        found[key] = found.get(key, 0) + 1
    return found


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0
