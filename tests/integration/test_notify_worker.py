"""The worker ``notify`` as a process on either broker: from the topic to a subscriber, and on after it was killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from confluent_kafka import Producer

from schemas.errors import BrokerUnavailable
from streams import admin, topics
from streams.settings import Settings
from streams.store import connect
from tests.contract.test_publish_notify import FLAGS, RECORDS, kinds, numbers, told
from tests.support.streams_site import ROOT, Site
from tests.support.subscriber import Subscriber


def committed(settings: Settings) -> int:
    try:
        return sum(row.committed or 0 for row in admin.lag(settings.kafka, [("notify", topics.BUNDLE)]))
    except BrokerUnavailable:  # the coordinator of a fresh broker is still loading
        return 0


async def counted(settings: Settings) -> int:
    store = connect(settings.redis)
    events = await store.hget(f"{settings.kafka.topic_prefix}notify:a:state", "events")
    await store.aclose()
    return int(events or 0)


def worker(site: Site, path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "agents.worker", "notify"],
        cwd=ROOT,
        env={**os.environ, **site.environment(), "PYTHONPATH": str(ROOT), "WARDSTREAM_SUBSCRIPTIONS__FILE": str(path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.timeout(180)
async def test_from_the_topic_to_the_subscriber(site: Site, tmp_path: Path) -> None:
    """The offset moves while the subscriber is not there yet; after a kill the next process tells what waits, each event under its number."""
    settings: Settings = site.settings
    admin.Admin(settings.kafka).apply(admin.wanted(settings.kafka, (topics.BY_NAME[topics.BUNDLE],)))
    producer = Producer({"bootstrap.servers": site.bootstrap, "acks": "all", "log_level": 0})
    for one in RECORDS:
        producer.produce(site.prefix + topics.BUNDLE, one.value, key=one.key, headers=list(one.headers))
    assert producer.flush(30) == 0
    up = False
    async with Subscriber(lambda n: 200 if up else 503) as subscriber:
        path = tmp_path / "subscriptions.yaml"
        row = {"name": "a", "endpoint": subscriber.endpoint, "results": "deid"}
        path.write_text(yaml.safe_dump({"api_version": "subscriptions/v1", "subscriptions": [row]}))
        process = worker(site, path)
        try:
            while await counted(settings) < len(RECORDS) * FLAGS:
                await asyncio.sleep(0.1)
            await asyncio.to_thread(site.until, lambda: committed(settings) == len(RECORDS), what="committed offsets")
            process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(process.wait, 30)
            assert set(kinds(subscriber)) <= {"handshake"}
            up = True
            process = worker(site, path)
            async with asyncio.timeout(90):
                while len(told(subscriber)) < len(RECORDS):
                    await asyncio.sleep(0.1)
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 30)
    assert numbers(subscriber.received) == list(range(1, len(RECORDS) * FLAGS + 1))
