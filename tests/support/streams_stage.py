"""A tiny stage for the stream's own tests, runnable as a worker process: it passes records on under a new header.

What a record asks for stands in its value: ``poison``, ``bug``, ``retry-N``, ``kill``, ``violation``, ``slow-MS``, ``huge``.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Sequence

from schemas.errors import MalformedMessage, PrivacyViolation, Reason, StoreUnavailable
from streams import runner
from streams.record import Output, Record
from streams.settings import load
from streams.stage import Done, Outcome, Refused

READS = "phi.test.received.v1"
WRITES = "deid.test.ready.v1"


class TestStage:
    __test__ = False
    name = "echo"

    def __init__(self) -> None:
        self._tries: Counter[bytes] = Counter()

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    async def process(self, records: Sequence[Record]) -> Sequence[Outcome]:
        delay = sum(int(r.value.split(b"-")[1]) for r in records if r.value and r.value.startswith(b"slow-")) / 1000
        if delay:
            await asyncio.sleep(delay)
        return [self._outcome(record) for record in records]

    def _outcome(self, record: Record) -> Outcome:
        value = record.value or b""
        if value.startswith(b"poison"):
            return Refused(MalformedMessage(Reason.MALFORMED_HL7, path="MSH"))
        if value.startswith(b"bug"):
            raise ValueError("quotes the record: " + value.decode())
        if value.startswith(b"violation"):
            raise PrivacyViolation(Reason.CLASSIFICATION_REFUSED, path="ce_dataclassification")
        if value.startswith(b"kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        if value.startswith(b"retry-"):
            self._tries[value] += 1
            if self._tries[value] <= int(value.split(b"-")[1]):
                raise StoreUnavailable
        if value.startswith(b"huge"):
            return Done((Output(WRITES, record.key, bytes(64 * 2**20), record.headers),))
        place = f"{record.partition}/{record.offset}/{os.getpid()}".encode()
        return Done((Output(WRITES, record.key, record.value, (*record.headers, ("x-place", place))),))


if __name__ == "__main__":
    runner.exit_process(runner.run(TestStage(), READS, load()))
