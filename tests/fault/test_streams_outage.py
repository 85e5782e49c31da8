"""The broker goes away, a worker is frozen, a stage hangs: on real Kafka, judged by what came out."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from streams import kafka_local
from tests.support.streams_site import Site, values

pytestmark = pytest.mark.kafka


@pytest.mark.slow
def test_a_broker_that_is_killed_and_comes_back_loses_nothing(real_kafka: str, redis_server: str, tmp_path: Path) -> None:
    """The worker goes on by itself once the broker answers again; every record comes out."""
    folder = tmp_path / "own-kafka"
    expected = {b"slow-3-%d" % n for n in range(600)}
    with kafka_local.kafka(folder) as broker:
        port = int(broker.address.rpartition(":")[2])
        with Site(broker.address, redis_server, tmp_path) as site:
            site.worker = {"batch_size": 8}
            worker = site.start()
            site.post((b"k%d" % n, value) for n, value in enumerate(sorted(expected)))
            site.read(at_least=50)
            os.kill(broker.pid, signal.SIGKILL)
            time.sleep(1)
            with kafka_local.kafka(folder, port=port):
                out = site.read(distinct=600, timeout_s=60, settle_s=1)
                assert set(values(out)) == expected
                assert worker.poll() is None, "the outage was shorter than the patience"
                assert site.stop(worker) == 0


def test_a_frozen_worker_is_replaced_and_does_no_harm_when_it_thaws(kafka_site: Site) -> None:
    """SIGSTOP beyond the session timeout: the other takes over; after SIGCONT repeats are byte-equal and nothing is missing."""
    site = kafka_site
    site.worker = {"batch_size": 4}
    frozen = site.start()
    site.post((b"k%d" % n, b"slow-10-%d" % n) for n in range(400))
    site.read(at_least=20)
    frozen.send_signal(signal.SIGSTOP)
    site.start()
    out = set(values(site.read(distinct=400, timeout_s=40)))
    missing = {b"slow-10-%d" % n for n in range(400)} - out
    assert not missing
    frozen.send_signal(signal.SIGCONT)
    site.post((b"k%d" % n, b"after-%d" % n) for n in range(40))
    late = site.read(distinct=440, settle_s=2)
    assert {b"after-%d" % n for n in range(40)} <= set(values(late))
    for value, count in Counter(values(late)).items():
        copies = [message for message in late if message.value() == value]
        assert count <= 2
        assert len({message.key() for message in copies}) == 1


def test_a_stage_that_hangs_is_noticed_and_the_process_ends(kafka_site: Site) -> None:
    """Offsets that stand still beyond the limit make the worker unready and then end it with 70, unacknowledged."""
    site = kafka_site
    site.worker = {"stuck_after_s": 3.0}
    site.post([(b"k", b"slow-600000-x")])
    worker = site.start(wait=False)
    assert worker.wait(60) == 70
    assert '"stuck"' in site.logs()
    assert site.committed() == 0


def test_a_worker_whose_topic_is_not_there_yet_waits_for_it(kafka_site: Site) -> None:
    """Patience for the command that creates topics; then a configuration error, named."""
    site = kafka_site
    kept, site.prefix = site.prefix, "absent."
    site.worker = {"retry_patience_s": 2.0}
    worker = site.start(wait=False)
    assert worker.wait(40) == 78
    site.prefix = kept
    assert "phi.test.received.v1" in site.logs()
