"""What the discipline assumes of Faust's inside. A failure here means: read that code again before changing the pin."""

from __future__ import annotations

import hashlib
import inspect
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from faust.app.base import App
from faust.streams import Stream
from faust.transport.consumer import Consumer

from schemas.errors import ConfigurationError
from streams import faust_app, membership
from streams.faust_app import FAUST_VERSION, OrderedRevokeConsumer, make_app
from streams.settings import Kafka, Settings

#: Sources that the override replaces or that the discipline relies on, as read when it was written.
READ = {
    Consumer.on_partitions_revoked: "d04b7ae72c6fc206",
    Consumer.wait_empty: "e4662fe24f094819",
    Consumer._new_offset: "1d2c7ea89a7ad4f1",
    App._on_partitions_revoked: "d5c895bbe57dc73a",
    Stream.events: "c62f4dd3a73fe7aa",
}


def test_the_installed_version_is_the_pinned_one() -> None:
    """The exact version that was read and measured."""
    assert version("faust-streaming") == FAUST_VERSION


@pytest.mark.parametrize(("method", "digest"), READ.items(), ids=lambda value: getattr(value, "__qualname__", None))
def test_the_code_that_is_overridden_or_relied_on_is_unchanged(method: Any, digest: str) -> None:
    """By digest of the source."""
    assert hashlib.sha256(inspect.getsource(method).encode()).hexdigest()[:16] == digest


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker does not start on a Faust that nobody has checked."""
    monkeypatch.setattr(faust_app, "version", lambda _: "0.16.0")
    with pytest.raises(ConfigurationError, match="faust-streaming"):
        make_app(Settings(), "extract")


async def test_what_was_acknowledged_is_committed_before_it_is_forgotten() -> None:
    """The corrected order: at the time of draining and committing, acknowledgements are still known."""
    consumer = OrderedRevokeConsumer.__new__(OrderedRevokeConsumer)
    known: list[bool] = []
    tp = ("t", 0)
    consumer._active_partitions, consumer._paused_partitions = {tp}, {tp}
    for name in ("_gap", "_acked", "_acked_index", "_read_offset", "_committed_offset"):
        setattr(consumer, name, {tp: [1]})

    async def drain_and_commit(revoked: set[Any]) -> None:
        known.append(tp in consumer._acked)

    consumer._on_partitions_revoked = drain_and_commit
    await consumer.on_partitions_revoked({tp})
    assert known == [True]
    assert tp not in consumer._acked
    assert consumer._active_partitions == set()


def test_the_application_has_the_settings_that_the_promises_rest_on() -> None:
    """At least once, no tables, no topic of its own, quick failover."""
    app = make_app(Settings(kafka=Kafka(bootstrap="a:1,b:2", topic_prefix="p.")), "extract")
    conf = app.conf
    assert conf.id == "p.wardstream-extract"
    assert [str(url) for url in conf.broker] == ["kafka://a:1", "kafka://b:2"]
    assert conf.processing_guarantee.value == "at_least_once"
    assert (conf.broker_session_timeout, conf.broker_heartbeat_interval, conf.broker_commit_interval) == (7, 1, 0.3)
    assert conf.broker_client_id == membership.member_name("p.wardstream-extract")
    assert not conf.topic_allow_declare
    assert conf.topic_disable_leader
    assert not conf.web_enabled
    assert type(app.transport).Consumer is OrderedRevokeConsumer


def test_the_working_directory_stays_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Faust wants to keep on disk does not go where the process happens to stand."""
    monkeypatch.chdir(tmp_path)
    app = make_app(Settings(), "extract")
    assert not app.conf.appdir.is_relative_to(tmp_path)
    assert app.conf.datadir.is_absolute()


def test_two_applications_share_nothing() -> None:
    """No singleton: a process can hold several."""
    assert make_app(Settings(), "extract") is not make_app(Settings(), "extract")
