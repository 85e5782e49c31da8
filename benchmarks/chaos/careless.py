"""The negative controls: a worker of the product with one thing wrong.

``acknowledges-first``: a batch is acknowledged before it is processed. ``ids-by-chance``: what a stage makes gets a new id each time, so that nothing
downstream can tell a redelivery from a second effect; it acknowledges late, so that a kill finds something to deliver again however fast it is. ``other-shape``: findings lack a field that readers of the version before demand.
``last-come-wins``: what a message states in coded segments is published without its version.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

import schemas.ids
from streams import batches, runner
from streams.batches import Acknowledge
from streams.record import Record

_LATER_S = 1.5


class Careless(batches.Batches):
    async def submit(self, records: Sequence[Record], acknowledge: Acknowledge) -> None:
        acknowledge()
        await asyncio.sleep(_LATER_S)  # so that what it acknowledged is committed
        await super().submit(records, lambda: None)


class Late(batches.Batches):
    async def submit(self, records: Sequence[Record], acknowledge: Acknowledge) -> None:
        def later() -> None:
            asyncio.get_running_loop().call_later(_LATER_S, acknowledge)

        await super().submit(records, later)


def by_chance(source: str, stage: str, *, policy: str = "", model: str = "", ordinal: str | int = 0) -> str:
    return str(uuid.uuid4())


def unversioned() -> None:
    from agents.publish import coded

    coded.versioned = lambda _fact: []


def reshape() -> None:
    from agents.extract import agent

    class Json:
        @staticmethod
        def encode(value: Any, **options: Any) -> bytes:
            found = msgspec.to_builtins(value)
            del found["kind"]
            return msgspec.json.encode(found, **options)

    class Msgspec:
        json = Json

    agent.msgspec = Msgspec  # type: ignore[assignment]


if __name__ == "__main__":
    match sys.argv[1]:
        case "acknowledges-first":
            runner.Batches = Careless  # type: ignore[misc]
        case "other-shape":
            reshape()
        case "last-come-wins":
            unversioned()
        case _:
            runner.Batches = Late  # type: ignore[misc]
            schemas.ids.derived_id = by_chance  # before any stage takes the name from there
    from agents import worker

    runner.exit_process(worker.main(sys.argv[2:]))
