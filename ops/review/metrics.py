"""How review stands, for Prometheus: numbers of samples, labels and reviewers. Names of people are in none of them."""

from __future__ import annotations

from collections import Counter
from typing import get_args

from prometheus_client import CollectorRegistry, Gauge

from ops.review.queue import Queue
from schemas.samples import SampleReason


class Metrics:
    """Gauges of one queue; ``show`` brings them up to date."""

    def __init__(self) -> None:
        self.registry = at = CollectorRegistry()
        self._open = Gauge("wardstream_review_samples_open", "Samples that still lack a review", ["reason"], registry=at)
        self._kept = Gauge("wardstream_review_labels_kept", "Labels that may teach a model", registry=at)
        self._aside = Gauge(
            "wardstream_review_labels_aside", "Labels that may not, gold answers among them", ["reason"], registry=at
        )
        self._disputed = Gauge("wardstream_review_disputed", "Samples that nobody has settled yet", registry=at)
        self._reviewers = Gauge(
            "wardstream_review_reviewers_aside", "Reviewers whose labels are put aside", ["reason"], registry=at
        )

    def show(self, queue: Queue) -> None:
        """To be called where the queue is used: it is not safe for threads, the gauges are."""
        waiting = Counter(sample.reason for sample in queue.open_samples())
        for reason in get_args(SampleReason):
            self._open.labels(reason).set(waiting[reason])
        trusted = queue.trusted()
        self._kept.set(len(trusted.kept))
        _counted(self._aside, Counter(one.reason for one in trusted.put_aside))
        self._disputed.set(len(queue.disputed()))
        _counted(self._reviewers, Counter(one.reason for one in trusted.standings.values() if one.reason))


def _counted(gauge: Gauge, found: Counter[str]) -> None:
    """Reasons that no longer apply go."""
    gauge.clear()
    for reason, number in found.items():
        gauge.labels(reason).set(number)
