"""The Faust application, with every setting that the delivery promises rest on, and the corrected revoke order.

Faust 0.15.3 forgets what was acknowledged before it commits on a rebalance (``Consumer.on_partitions_revoked`` drops
``_acked`` first), so that everything since the last interval commit is processed again by the next owner. Here the order is:
drain, commit, then forget. The override is checked against the pinned version by ``tests/contract/test_streams_faust.py``.
"""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import faust
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from schemas.errors import ConfigurationError
from streams import clients, membership
from streams.settings import Kafka, Settings

FAUST_VERSION = "0.15.3"


class OrderedRevokeConsumer(driver.Consumer):  # type: ignore[misc]
    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Wait for what is in flight, commit it, and only then forget the partitions."""
        if self._active_partitions is not None:
            self._active_partitions.difference_update(revoked)
        self._paused_partitions.difference_update(revoked)
        await self._on_partitions_revoked(revoked)
        for tp in revoked:
            for state in (self._gap, self._acked, self._acked_index, self._read_offset, self._committed_offset):
                state.pop(tp, None)


class OrderedRevokeTransport(driver.Transport):  # type: ignore[misc]
    Consumer = OrderedRevokeConsumer


class Application(faust.App):  # type: ignore[misc]
    def _new_transport(self) -> Any:
        return OrderedRevokeTransport(self.conf.broker_consumer, self)


def group_id(kafka: Kafka, stage_name: str) -> str:
    """Consumer group and Faust application id: fixed by settings and stage, never by an import path."""
    return kafka.topic_prefix + kafka.group_prefix + stage_name


def make_app(settings: Settings, stage_name: str) -> faust.App:
    """A fresh application for one stage; nothing is shared between two calls.

    Raises:
        ConfigurationError: another Faust version than the checked one is installed, or the security files cannot be read.
    """
    if version("faust-streaming") != FAUST_VERSION:
        raise ConfigurationError(path="faust-streaming", detail=f"this discipline is checked against {FAUST_VERSION} only")
    kafka, worker = settings.kafka, settings.worker
    return Application(
        group_id(kafka, stage_name),
        broker=[f"kafka://{address.strip()}" for address in kafka.bootstrap.split(",")],
        broker_credentials=clients.faust_credentials(kafka),
        broker_client_id=membership.member_name(group_id(kafka, stage_name)),
        store="memory://",
        # Faust makes a folder here whatever the store; the working directory may be read-only, and is nobody's place for it.
        datadir=Path(tempfile.gettempdir()) / "wardstream-faust",
        key_serializer="raw",
        value_serializer="raw",
        autodiscover=False,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        processing_guarantee="at_least_once",
        stream_wait_empty=True,
        stream_buffer_maxsize=max(512, 2 * worker.batch_size),
        broker_session_timeout=kafka.session_timeout_s,
        broker_heartbeat_interval=kafka.heartbeat_interval_s,
        broker_commit_interval=kafka.commit_interval_s,
        broker_max_poll_interval=max(300.0, 2 * worker.retry_patience_s),
        broker_max_poll_records=max(500, worker.batch_size),
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=4_194_304,
    )
