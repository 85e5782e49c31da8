"""The contract between the stream discipline and a stage.

A stage turns a batch of records into one outcome per record, in the order of the batch. It may await stores and use
threads; it never acknowledges, never produces and never sees a broker. Everything that happens to a record is an outcome:

* ``Done(outputs)``: the outputs are produced, then the offset may move. No outputs is a legitimate answer.
* ``Refused(error)``: the record goes to ``<topic>.dlq`` with ``error.reason``, then the offset may move.

What a stage may raise out of ``process``:

* ``Retryable``: nothing of the batch is acknowledged; the runner calls ``process`` again with back-off and jitter, and ends the
  process when its patience ends, so that a supervisor restarts it.
* ``PrivacyViolation``: the process halts without acknowledging.
* anything else is a bug; the runner calls ``process`` again record by record and refuses the culprit as ``unexpected``.

``process`` must therefore be idempotent: the same record gives the same outputs however often it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from schemas.errors import Poison
from streams.health import Health
from streams.metrics import StreamMetrics
from streams.record import Output, Record


@dataclass(frozen=True, slots=True)
class Done:
    outputs: tuple[Output, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """``quarantined``: the record as it may lie among the dead letters; ``None``: as it came."""

    error: Poison
    quarantined: Record | None = None


Outcome = Done | Refused


class Stage(Protocol):
    """See the module's text for the contract."""

    @property
    def name(self) -> str:
        """Consumer group suffix, metric label and ``ce_source``; fixed, never derived from an import path."""

    async def open(self) -> None:
        """Load models, connect stores. Raises ConfigurationError or Retryable."""

    async def process(self, records: Sequence[Record]) -> Sequence[Outcome]:
        """One outcome per record, same order."""

    async def close(self) -> None:
        """Release what ``open`` took."""


@runtime_checkable
class Observed(Protocol):
    """A stage that has something to tell beside its outcomes."""

    def observe(self, metrics: StreamMetrics, health: Health) -> None:
        """Called once, before ``open``."""
