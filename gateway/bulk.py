"""NDJSON: one resource a line (FHIR Bulk Data), stored as it streams in, answered with one OperationOutcome about the lines."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from gateway.answers import RETRY_AFTER, FhirResponse
from gateway.fhir import FhirDoor
from gateway.intake import Busy
from gateway.outcomes import issue, outcome, status_of
from schemas.errors import Poison, Reason, Retryable, WardstreamError

#: Lines whose delivery is awaited together.
WINDOW = 200
BUSY_PAUSE_S = 0.05
BUSY_TRIES = 100
#: Refused lines that are named one by one; of the rest only the number is told.
NAMED = 200


async def take_lines(door: FhirDoor, lines: AsyncIterator[bytes], traceparent: str | None) -> FhirResponse:
    """Store each line on its own.

    202 when all are stored, 422 when some were refused (the others are stored), 503 or 429 as soon as Kafka or this gateway
    takes no more: what came before is stored, and sending the whole again is safe.
    """
    refused: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    number = 0
    window: list[bytes] = []

    async def flush() -> WardstreamError | None:
        first = number - len(window) + 1
        results = await asyncio.gather(*(_one(door, line, traceparent) for line in window))
        window.clear()
        for position, error in enumerate(results, first):
            if error is None:
                counts["stored"] += 1
            elif isinstance(error, Poison):
                counts["refused"] += 1
                if len(refused) < NAMED:
                    refused.append(issue(status_of(error.reason)[1], error.reason.value, path=f"line {position}"))
            else:
                return error
        return None

    stopped: WardstreamError | None = None
    try:
        async for line in lines:
            number += 1
            window.append(line)
            if len(window) == WINDOW and (stopped := await flush()) is not None:
                break
        if stopped is None:
            stopped = await flush()
    except Poison as error:  # the body itself: a line above the cap, or no more bytes in time
        await flush()
        stopped = error
    text = f"{counts['stored']} of {number} lines stored, {counts['refused']} refused"
    summary = issue("informational", text, severity="information")
    if stopped is not None:
        status, code = status_of(stopped.reason)
        if isinstance(stopped, Busy):
            status, code = 429, "throttled"
        headers = RETRY_AFTER if isinstance(stopped, Retryable) else {"connection": "close"}
        return FhirResponse(outcome(issue(code, stopped.reason.value), summary, *refused), status, headers)
    if not number:
        return FhirResponse(outcome(issue("required", Reason.MALFORMED_FHIR.value)), 400)
    return FhirResponse(outcome(summary, *refused), 422 if refused else 202)


async def _one(door: FhirDoor, line: bytes, traceparent: str | None) -> WardstreamError | None:
    """A full gateway is waited for: the stream is not read meanwhile, which slows its sender down."""
    for _ in range(BUSY_TRIES):
        try:
            await door.accept(line, traceparent=traceparent)
        except Busy as error:
            busy = error
            await asyncio.sleep(BUSY_PAUSE_S)
        except WardstreamError as error:
            return error
        else:
            return None
    return busy
