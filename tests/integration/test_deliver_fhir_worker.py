"""The worker ``deliver_fhir`` as a process on either broker: from the topic into a FHIR server, refusals into the dead letters."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest
from confluent_kafka import Producer

from schemas.errors import BrokerUnavailable
from streams import admin, topics
from streams.settings import Settings
from tests.contract.test_publish_deliver_fhir import BUNDLES, record
from tests.support.fhir_server import FhirServer, outcome
from tests.support.streams_site import ROOT, Site


def committed(settings: Settings) -> int:
    try:
        return sum(row.committed or 0 for row in admin.lag(settings.kafka, [("deliver_fhir", topics.RESULT)]))
    except BrokerUnavailable:  # the coordinator of a fresh broker is still loading
        return 0


@pytest.mark.timeout(120)
async def test_from_the_topic_into_the_server(site: Site) -> None:
    """The second of three is refused: two are stored and audited, one is a dead letter with a code, and the offset is past all three."""
    settings: Settings = site.settings
    table = (topics.BY_NAME[topics.RESULT], topics.BY_NAME[topics.AUDIT])
    admin.Admin(settings.kafka).apply(admin.wanted(settings.kafka, table))
    producer = Producer({"bootstrap.servers": site.bootstrap, "acks": "all", "log_level": 0})
    for number, value in enumerate(BUNDLES):
        one = record(number, value)
        producer.produce(site.prefix + topics.RESULT, one.value, key=one.key, headers=list(one.headers))
    assert producer.flush(30) == 0
    async with FhirServer(lambda n: outcome(422, "business-rule") if n == 1 else None) as server:
        environment = {
            **os.environ,
            **site.environment(),
            "PYTHONPATH": str(ROOT),
            "WARDSTREAM_FHIR_SERVER__BASE_URL": server.base,
        }
        worker = subprocess.Popen(
            [sys.executable, "-m", "agents.worker", "deliver_fhir"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            await asyncio.to_thread(site.until, lambda: committed(settings) == len(BUNDLES), what="committed offsets")
        finally:
            worker.terminate()
            await asyncio.to_thread(worker.wait, 30)
    letters = site.read(topics.dead_letter(topics.RESULT), at_least=1)
    audited = site.read(topics.AUDIT, at_least=2)
    assert len(server.requests) == 3
    assert (len(letters), len(audited)) == (1, 2)
    assert b"receiver_refused" in dict(letters[0].headers() or ()).values()
    assert letters[0].value() == BUNDLES[1]
