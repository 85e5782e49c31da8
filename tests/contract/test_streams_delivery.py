"""What every stage is promised. Workers are real processes; what depends on a group's timing runs on real Kafka only."""

from __future__ import annotations

import signal
from collections import Counter, defaultdict

import pytest

from tests.support.streams_site import Site, headers, values


def numbered(count: int, keys: int = 20) -> list[tuple[bytes, bytes]]:
    return [(b"key-%d" % (number % keys), b"m-%06d" % number) for number in range(count)]


def test_every_record_comes_out_once_in_order_per_key_with_its_headers(site: Site) -> None:
    """What goes in comes out: nothing lost, nothing doubled, keys and headers kept, order kept within a key."""
    site.worker = {"batch_size": 16}
    worker = site.start(wait=False)
    site.post(numbered(1000))
    out = site.read(at_least=1000, settle_s=1)
    assert Counter(values(out)) == Counter(value for _, value in numbered(1000))
    by_key: dict[bytes, list[bytes]] = defaultdict(list)
    for message in sorted(out, key=lambda m: (m.partition(), m.offset())):
        by_key[message.key()].append(message.value())
        assert headers(message)["ce_time"] == b"2026-01-01T00:00:00Z"
    assert all(rows == sorted(rows) for rows in by_key.values())
    assert site.stop(worker) == 0


def test_poison_goes_to_the_dead_letters_and_the_good_ones_pass(site: Site) -> None:
    """Refused, buggy and oversized records are dead-lettered with code, path and place; their neighbours come out."""
    good = numbered(60)
    bad = [(b"a", b"poison-1"), (b"b", b"bug-1"), (b"c", b"huge-1")]
    site.post([*good[:30], *bad, *good[30:]])
    site.start(wait=False)
    assert Counter(values(site.read(at_least=60, settle_s=1))) == Counter(value for _, value in good)
    letters = {message.value(): message for message in site.dead_letters(at_least=3)}
    codes = {value: headers(message)["x-error-code"] for value, message in letters.items()}
    assert codes == {b"poison-1": b"malformed_hl7", b"bug-1": b"unexpected", b"huge-1": b"too_large"}
    told = headers(letters[b"poison-1"])
    assert letters[b"poison-1"].key() == b"a"
    assert told["x-error-field"] == b"MSH"
    assert told["x-stage"] == b"echo"
    assert told["x-original-topic"] == b"phi.test.received.v1"
    assert told["ce_time"] == b"2026-01-01T00:00:00Z"
    assert {"x-original-partition", "x-original-offset", "x-original-timestamp", "x-attempts"} <= told.keys()
    assert "quotes the record" not in site.logs()
    assert "bug-1" not in site.logs()


@pytest.mark.kafka
def test_records_of_any_compression_are_read(kafka_site: Site) -> None:
    """An interface engine chooses its own codec; our own producers use lz4."""
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        kafka_site.post([(b"k", codec.encode() * 200)], compression=codec)
    kafka_site.start(wait=False)
    out = values(kafka_site.read(at_least=5))
    assert {value[:3] for value in out} == {b"non", b"gzi", b"sna", b"lz4", b"zst"}


def test_a_retryable_failure_is_tried_again_and_nothing_is_lost(site: Site) -> None:
    """A stage that asks for time gets it: the batch comes back until it succeeds."""
    site.post([(b"k", b"retry-3-x"), *numbered(20)])
    site.start(wait=False)
    assert len(set(values(site.read(at_least=21, settle_s=0.5)))) == 21
    assert site.dead_letters(timeout_s=1) == []


@pytest.mark.kafka
def test_a_privacy_violation_halts_without_acknowledging(kafka_site: Site) -> None:
    """The process ends with 77 and the offset stays before the record."""
    kafka_site.worker = {"batch_size": 1}
    kafka_site.post([(b"k", b"violation")])
    worker = kafka_site.start(wait=False)
    assert worker.wait(40) == 77
    assert kafka_site.read(timeout_s=1) == []
    assert kafka_site.dead_letters(timeout_s=1) == []
    assert kafka_site.committed() == 0


def test_sigterm_finishes_what_is_in_flight_and_reprocesses_nothing(site: Site) -> None:
    """A stopped worker has stored and committed everything that it took up; its successor starts where it ended."""
    site.worker = {"batch_size": 4}
    first = site.start()
    site.post([(b"k%d" % n, b"slow-20-%d" % n) for n in range(200)])
    site.read(at_least=20)
    assert site.stop(first) == 0
    done = site.read(timeout_s=1, at_least=10**6)
    assert len(done) < 200, "the worker was stopped too late to prove anything"
    second = site.start()
    out = site.read(at_least=200, settle_s=1)
    assert Counter(values(out)) == Counter(b"slow-20-%d" % n for n in range(200))
    assert site.stop(second) == 0


@pytest.mark.kafka
def test_a_second_worker_joins_and_leaves_without_a_duplicate(kafka_site: Site) -> None:
    """Rebalances drain and commit before partitions move (the corrected revoke order)."""
    kafka_site.worker = {"batch_size": 8}
    first = kafka_site.start()
    kafka_site.post([(b"k%d" % n, b"slow-1-%d" % n) for n in range(400)])
    second = kafka_site.start()
    kafka_site.post([(b"k%d" % n, b"slow-1-%d" % n) for n in range(400, 800)])
    kafka_site.read(at_least=500)
    assert kafka_site.stop(second) == 0
    kafka_site.post([(b"k%d" % n, b"slow-1-%d" % n) for n in range(800, 1000)])
    out = kafka_site.read(at_least=1000, settle_s=1)
    assert Counter(values(out)) == Counter(b"slow-1-%d" % n for n in range(1000))
    workers = {headers(message)["x-place"].rsplit(b"/", 1)[1] for message in out}
    assert len(workers) == 2, "the second worker never had a partition"
    assert kafka_site.stop(first) == 0


@pytest.mark.kafka
def test_nothing_is_acknowledged_before_its_output_is_stored(kafka_site: Site) -> None:
    """A worker killed while a batch is in the stage leaves the offset where it was."""
    kafka_site.worker = {"batch_size": 8}
    worker = kafka_site.start()
    kafka_site.post([(b"k", b"slow-60000-%d" % n) for n in range(3)])
    kafka_site.until(lambda: worker.poll() is None and '"assigned"' in kafka_site.logs())
    kafka_site.post([(b"other", b"m")])
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert kafka_site.committed() == 0
    assert kafka_site.read(timeout_s=1) == []
