"""Servers that the tests share. Real parts everywhere; a part that cannot run here is skipped by name, and in CI that is an error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams import embedded, kafka_local
from tests.support import hapi
from tests.support.streams_site import Site


def _unavailable(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}: in CI nothing may be skipped", pytrace=False)
    pytest.skip(what)


@pytest.fixture(scope="session")
def real_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real Apache Kafka, one for the whole session."""
    lack = kafka_local.missing()
    if lack is not None:
        _unavailable(f"real Kafka: {lack}")
    with kafka_local.kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server.address


@pytest.fixture(scope="session")
def embedded_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the embedded broker, one for the whole session."""
    with embedded.broker(tmp_path_factory.mktemp("tansu")) as server:
        yield server.address


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real Redis, one for the whole session; take a ``topic_prefix`` or database of your own."""
    with embedded.redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield f"redis://{server.address}/0"


@pytest.fixture(scope="session")
def hapi_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base address of a HAPI FHIR JPA server (R4) with an empty database, one for the whole session."""
    lack = hapi.missing()
    if lack is not None:
        _unavailable(f"HAPI FHIR: {lack}")
    with hapi.server(tmp_path_factory.mktemp("hapi")) as running:
        yield running.address


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def any_broker(request: pytest.FixtureRequest) -> str:
    """The same test on both brokers."""
    address: str = request.getfixturevalue("real_kafka" if request.param == "kafka" else "embedded_kafka")
    return address


@pytest.fixture
def site(any_broker: str, redis_server: str, tmp_path: Path) -> Iterator[Site]:
    """An installation with a topic prefix of its own on either broker, with the topics of the test stage."""
    with Site(any_broker, redis_server, tmp_path) as made:
        yield made


@pytest.fixture
def embedded_site(embedded_kafka: str, redis_server: str, tmp_path: Path) -> Iterator[Site]:
    """The same on the embedded broker only, where the broker makes no difference."""
    with Site(embedded_kafka, redis_server, tmp_path) as made:
        yield made


@pytest.fixture
def kafka_site(real_kafka: str, redis_server: str, tmp_path: Path) -> Iterator[Site]:
    """The same on real Kafka only."""
    with Site(real_kafka, redis_server, tmp_path) as made:
        yield made
