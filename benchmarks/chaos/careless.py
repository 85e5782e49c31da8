"""The negative control: a worker of the product with one thing wrong, it acknowledges a batch before the batch is processed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from agents import worker
from streams import batches, runner
from streams.batches import Acknowledge
from streams.record import Record

_LATER_S = 1.5


class Careless(batches.Batches):
    async def submit(self, records: Sequence[Record], acknowledge: Acknowledge) -> None:
        acknowledge()
        await asyncio.sleep(_LATER_S)  # so that what it acknowledged is committed
        await super().submit(records, lambda: None)


if __name__ == "__main__":
    runner.Batches = Careless  # type: ignore[misc]
    runner.exit_process(worker.main(sys.argv[1:]))
