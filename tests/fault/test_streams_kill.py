"""Workers that die by SIGKILL, on real Kafka: nothing is lost. The negative control shows that this test would notice."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections import Counter

import pytest

from schemas.errors import BrokerUnavailable
from streams.faust_app import group_id
from streams.membership import expel, member_name
from streams.settings import Kafka
from tests.support.streams_site import Site, headers, values
from tests.support.streams_stage import TestStage

pytestmark = pytest.mark.kafka

COUNT = 3000
KILLS_AT = (500, 1500)


def _run_with_kills(site: Site, script: str) -> Counter[bytes]:
    """Process ``COUNT`` records with a worker that is killed twice and restarted at once; what came out, by value."""
    site.worker = {"batch_size": 32}
    worker = site.start(script)
    site.post((b"k%d" % (n % 50), b"m-%06d" % n) for n in range(COUNT))
    for at in KILLS_AT:
        site.read(at_least=at)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        worker = site.start(script, wait=False)
    return Counter(values(site.read(distinct=COUNT, timeout_s=40, settle_s=1)))


def test_sigkill_in_the_middle_loses_nothing(kafka_site: Site) -> None:
    """Every record comes out at least once; what comes out twice is the same record, byte for byte."""
    out = _run_with_kills(kafka_site, "tests/support/streams_stage.py")
    assert set(out) == {b"m-%06d" % n for n in range(COUNT)}


def test_a_worker_that_acknowledges_first_loses_records(kafka_site: Site) -> None:
    """Negative control: with the order of acknowledgement and processing turned round, the same check finds losses."""
    site = kafka_site
    site.worker = {"batch_size": 8}
    fast, slow = 60, 16
    worker = site.start("tests/support/streams_careless.py")
    site.post((b"k%d" % n, b"slow-%d-%d" % (2000 if n >= fast else 0, n)) for n in range(fast + slow))
    # A slow record's offset is committed long before it is processed: the kill comes in between, however slow the machine.
    site.until(lambda: site.committed() > fast)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    site.start("tests/support/streams_careless.py")
    site.until(lambda: site.committed() == fast + slow)
    assert len(set(values(site.read(distinct=fast + slow, timeout_s=5)))) < fast + slow


def test_a_record_that_kills_the_process_is_refused_after_three_deaths(kafka_site: Site) -> None:
    """Crash loops end: the culprit is dead-lettered, its neighbours come out, the supervisor restarted three times."""
    site = kafka_site
    good = [(b"k%d" % n, b"m-%d" % n) for n in range(40)]
    site.post([*good[:20], (b"k", b"kill-me"), *good[20:]])
    deaths = 0
    worker = site.start(wait=False)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            worker.wait(1)
        except subprocess.TimeoutExpired:
            if site.dead_letters(at_least=1, timeout_s=2):
                break
            continue
        assert worker.returncode == -signal.SIGKILL
        deaths += 1
        worker = site.start(wait=False)
    assert set(values(site.read(at_least=40, settle_s=0.5))) == {value for _, value in good}
    (letter,) = site.dead_letters(at_least=1)
    assert letter.value() == b"kill-me"
    assert headers(letter)["x-error-code"] == b"unexpected"
    assert headers(letter)["x-attempts"] == b"3"
    assert deaths == 3


@pytest.mark.parametrize("told", [True, False], ids=["told", "control"])
def test_partitions_of_a_worker_that_is_known_to_be_dead_move_at_once(kafka_site: Site, told: bool) -> None:
    """Within seconds where its session would last half a minute; the living one of the same stage is left alone. Untold, they stand still."""
    site = kafka_site
    site.session_timeout_s = 30
    dead = site.start()
    site.start()
    kafka = site.settings.kafka
    group = group_id(kafka, TestStage.name)
    dead.send_signal(signal.SIGKILL)
    dead.wait()
    if told:
        assert asyncio.run(expel(kafka, group, member_name(group, dead.pid))) == 1
        assert asyncio.run(expel(kafka, group, member_name(group, dead.pid))) == 0
    site.post((b"k%d" % n, b"m-%d" % n) for n in range(60))
    out = set(values(site.read(distinct=60, timeout_s=15)))
    assert (len(out) == 60) is told


def test_without_a_broker_nobody_is_expelled() -> None:
    """A coded error within seconds."""
    kafka = Kafka(bootstrap="127.0.0.1:1")
    with pytest.raises(BrokerUnavailable):
        asyncio.run(expel(kafka, "g", member_name("g", 1)))
