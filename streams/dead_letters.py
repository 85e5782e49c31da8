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
