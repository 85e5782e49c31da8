"""Metrics of the gateway process. Labels are doors and closed codes; nothing that a peer sent ever becomes a label."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from gateway.acknowledge import Outcome
from streams.metrics import SECONDS


def outcome_label(outcome: Outcome) -> str:
    """``stored``, ``duplicate`` or the reason code."""
    if outcome.reason is not None:
        return outcome.reason.value
    return "duplicate" if outcome.duplicate else "stored"


@dataclass(slots=True)
class GatewayMetrics:
    """One per process; also what ``gateway.mllp.Counters`` asks for."""

    registry: CollectorRegistry = field(default_factory=lambda: CollectorRegistry(auto_describe=True))
    messages: Counter = field(init=False)
    delivery_seconds: Histogram = field(init=False)
    in_flight: Gauge = field(init=False)
    connections: Gauge = field(init=False)
    connections_closed: Counter = field(init=False)
    ledger_failures: Counter = field(init=False)
    ready: Gauge = field(init=False)

    def __post_init__(self) -> None:
        at = self.registry
        ProcessCollector(registry=at)
        self.messages = Counter(
            "wardstream_gateway_messages", "Messages by door and outcome (stored, duplicate or a reason code)",
            ["door", "outcome"], registry=at,
        )  # fmt: skip
        self.delivery_seconds = Histogram(
            "wardstream_gateway_delivery_seconds", "From hand-over to Kafka to its delivery report", buckets=SECONDS, registry=at
        )
        self.in_flight = Gauge("wardstream_gateway_in_flight", "Records that wait for their delivery report", registry=at)
        self.connections = Gauge("wardstream_gateway_mllp_connections", "Open MLLP connections", registry=at)
        self.connections_closed = Counter(
            "wardstream_gateway_mllp_connections_closed", "MLLP connections ended, by cause", ["why"], registry=at
        )
        self.ledger_failures = Counter(
            "wardstream_gateway_ledger_failures", "Round trips to the duplicate ledger that failed", registry=at
        )
        self.ready = Gauge("wardstream_gateway_dependency_ready", "1 when the dependency answers", ["dependency"], registry=at)

    def observe(self, door: str, outcome: Outcome) -> None:
        self.messages.labels(door, outcome_label(outcome)).inc()

    def connection(self, change: int) -> None:
        self.connections.inc(change)

    def closed(self, why: str) -> None:
        self.connections_closed.labels(why).inc()
