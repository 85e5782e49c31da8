"""The negative control: the same worker with one thing wrong, it acknowledges a batch before the batch is processed."""

from __future__ import annotations

from collections.abc import Sequence

from streams import batches, runner
from streams.batches import Acknowledge
from streams.record import Record
from streams.settings import load
from tests.support.streams_stage import READS, TestStage


class Careless(batches.Batches):
    async def submit(self, records: Sequence[Record], acknowledge: Acknowledge) -> None:
        acknowledge()
        await super().submit(records, lambda: None)


if __name__ == "__main__":
    runner.Batches = Careless  # type: ignore[misc]
    runner.exit_process(runner.run(TestStage(), READS, load()))
