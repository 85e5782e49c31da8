"""Dead letters: the record as it came, with headers that say why in codes. No exception text ever: it quotes data.

Header names follow the plain ``x-error-*`` convention; the original place is given as decimal text.
"""

from __future__ import annotations

from schemas.envelope import Headers
from schemas.errors import WardstreamError
from streams import topics
from streams.record import Output, Record

ERROR_CODE = "x-error-code"
ERROR_FIELD = "x-error-field"
ATTEMPTS = "x-attempts"
STAGE = "x-stage"
ORIGINAL_TOPIC = "x-original-topic"
ORIGINAL_PARTITION = "x-original-partition"
ORIGINAL_OFFSET = "x-original-offset"
ORIGINAL_TIMESTAMP = "x-original-timestamp"

#: How often people put a record back; travels on with it, into its next dead letter too.
REDRIVES = "x-redrives"
#: Where a record without an id of its own first lay: its id is made from there, however often it is put back.
FIRST_PLACE = "x-first-place"

OWN: frozenset[str] = frozenset(
    {ERROR_CODE, ERROR_FIELD, ATTEMPTS, STAGE, ORIGINAL_TOPIC, ORIGINAL_PARTITION, ORIGINAL_OFFSET, ORIGINAL_TIMESTAMP}
)


def make(record: Record, error: WardstreamError, *, stage: str, attempts: int) -> Output:
    """The dead letter of ``record``: key, value and headers unchanged, our headers added (a redriven record's replaced)."""
    rows = [
        (ERROR_CODE, error.reason.value),
        (ERROR_FIELD, error.path or ""),
        (ATTEMPTS, str(attempts)),
        (STAGE, stage),
        (ORIGINAL_TOPIC, record.topic),
        (ORIGINAL_PARTITION, str(record.partition)),
        (ORIGINAL_OFFSET, str(record.offset)),
        (ORIGINAL_TIMESTAMP, str(record.timestamp)),
    ]
    headers = original_headers(record.headers) + tuple((name, value.encode()) for name, value in rows if value)
    return Output(topics.dead_letter(record.topic), record.key, record.value, headers)


def original_headers(headers: Headers) -> Headers:
    """The headers that the record had before it was refused; what a redrive sends back."""
    return tuple((name, value) for name, value in headers if name not in OWN)


def put_back(letter: Record) -> Output:
    """The record as it came, for the topic that it came from, with one more redrive counted.

    Raises:
        ValueError: the letter does not say where it came from, or it was no topic of ours.
    """
    told = dict(letter.headers)
    topic = told.get(ORIGINAL_TOPIC, b"").decode("utf-8", "replace")
    if topic not in topics.BY_NAME:
        raise ValueError("no topic to go back to")
    redrives = told.get(REDRIVES, b"0")
    kept = tuple((name, value) for name, value in original_headers(letter.headers) if name not in (REDRIVES, FIRST_PLACE))
    extra = [(REDRIVES, str(int(redrives if redrives.isdigit() else 0) + 1).encode())]
    timestamp = None
    if "ce_id" not in told:
        first = b"/".join((topic.encode(), told.get(ORIGINAL_PARTITION, b"0"), told.get(ORIGINAL_OFFSET, b"0")))
        extra.append((FIRST_PLACE, told.get(FIRST_PLACE) or first))
        came = told.get(ORIGINAL_TIMESTAMP, b"")
        timestamp = int(came) if came.isdigit() else None  # which such a record is dated by
    return Output(topic, letter.key, letter.value, (*kept, *extra), timestamp)


def first_place(record: Record) -> tuple[str, int, int]:
    """Topic, partition and offset where a record lay when it first came; of one that was put back, not where it lies now."""
    topic, *numbers = dict(record.headers).get(FIRST_PLACE, b"").decode("ascii", "replace").split("/")
    if topic == record.topic and len(numbers) == 2 and all(number.isdecimal() for number in numbers):
        return topic, int(numbers[0]), int(numbers[1])
    return record.topic, record.partition, record.offset
