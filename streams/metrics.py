"""Every metric once: its name, unit, meaning and labels. Labels hold stage names, topic names and closed codes, nothing else.

Counters are monotonic; durations are seconds. ``end_to_end`` starts at the message's own ``ce_time``, so it includes all waiting.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
LONG_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 86_400)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def _registry() -> CollectorRegistry:
    return CollectorRegistry(auto_describe=True)


@dataclass(slots=True)
class StreamMetrics:
    """The metrics of one worker process; make one per process and hand it on."""

    registry: CollectorRegistry = field(default_factory=_registry)
    received: Counter = field(init=False)
    produced: Counter = field(init=False)
    dead_lettered: Counter = field(init=False)
    retries: Counter = field(init=False)
    stage_seconds: Histogram = field(init=False)
    delivery_seconds: Histogram = field(init=False)
    end_to_end_seconds: Histogram = field(init=False)
    batch_records: Histogram = field(init=False)
    in_flight: Gauge = field(init=False)
    commit_age_seconds: Gauge = field(init=False)
    lag_records: Gauge = field(init=False)
    assigned_partitions: Gauge = field(init=False)
    build: Gauge = field(init=False)
    model_releases: Counter = field(init=False)
    model_serving: Gauge = field(init=False)
    samples_proposed: Counter = field(init=False)
    samples_withheld: Counter = field(init=False)
    drift_records: Counter = field(init=False)
    drift_standing: Gauge = field(init=False)
    drift_unwatched: Counter = field(init=False)

    def __post_init__(self) -> None:
        at = self.registry
        ProcessCollector(registry=at)
        self.received = Counter("wardstream_records_received", "Records taken from the input topic", ["stage"], registry=at)
        self.produced = Counter("wardstream_records_produced", "Records stored by Kafka", ["stage", "topic"], registry=at)
        self.dead_lettered = Counter(
            "wardstream_records_dead_lettered", "Records put into a dead-letter topic", ["stage", "reason"], registry=at
        )
        self.retries = Counter("wardstream_batch_retries", "Batches tried again", ["stage", "reason"], registry=at)
        self.stage_seconds = Histogram(
            "wardstream_stage_seconds", "Time of the stage for one batch", ["stage"], buckets=SECONDS, registry=at
        )
        self.delivery_seconds = Histogram(
            "wardstream_delivery_seconds", "From the first hand-over of a batch's outputs to the last delivery report",
            ["stage"], buckets=SECONDS, registry=at,
        )  # fmt: skip
        self.end_to_end_seconds = Histogram(
            "wardstream_end_to_end_seconds", "From receipt of the original message (ce_time) to the stored output of this stage",
            ["stage"], buckets=LONG_SECONDS, registry=at,
        )  # fmt: skip
        self.batch_records = Histogram("wardstream_batch_records", "Records per batch", ["stage"], buckets=SIZES, registry=at)
        self.in_flight = Gauge("wardstream_in_flight_records", "Records taken and not yet acknowledged", ["stage"], registry=at)
        self.commit_age_seconds = Gauge(
            "wardstream_commit_age_seconds", "Longest time that a partition with unread records has not moved its offset",
            ["stage"], registry=at,
        )  # fmt: skip
        self.lag_records = Gauge(
            "wardstream_lag_records", "End offset minus committed offset, own partitions", ["stage"], registry=at
        )
        self.assigned_partitions = Gauge(
            "wardstream_assigned_partitions", "Partitions that this worker reads", ["stage"], registry=at
        )
        self.build = Gauge("wardstream_build_info", "Always 1; the labels say what runs", ["version", "stage"], registry=at)
        self.model_releases = Counter(
            "wardstream_model_releases", "Releases of models by what became of them here: applied, refused, waiting",
            ["stage", "outcome"], registry=at,
        )  # fmt: skip
        self.model_serving = Gauge(
            "wardstream_model_serving", "1 for each model that serves: its role (champion, canary), its version and the first digits of its graph",
            ["stage", "role", "version"], registry=at,
        )  # fmt: skip
        self.samples_proposed = Counter("wardstream_samples_proposed", "Samples proposed for review", ["reason"], registry=at)
        self.samples_withheld = Counter(
            "wardstream_samples_withheld", "Notes with a reason for review that were not proposed: a budget was full (day, reason, sender, patient, random), or the second leak check suspected them (leak)",
            ["reason", "cause"], registry=at,
        )  # fmt: skip
        self.drift_records = Counter(
            "wardstream_drift_records",
            "Drift that began or ended, by feature and kind of message",
            ["feature", "kind", "state"],
            registry=at,
        )
        self.drift_standing = Gauge(
            "wardstream_drift_standing", "Groups (sender, department, kind) whose messages have shifted in this feature and still do",
            ["feature", "kind"], registry=at,
        )  # fmt: skip
        self.drift_unwatched = Counter(
            "wardstream_drift_unwatched", "Messages that no group could be made for: there are watch.groups already", registry=at
        )
