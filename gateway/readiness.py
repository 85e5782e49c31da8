"""What the gateway needs, asked every two seconds: the broker (decides readiness) and the store (only degrades)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from redis.exceptions import RedisError

from schemas.errors import StoreUnavailable
from streams import clients, topics
from streams.settings import Kafka
from streams.store import Store

INTERVAL_S = 2.0
TIMEOUT_S = 2.0


class Readiness:
    """``parts`` is the last answer by dependency; everything is down until it has answered once.

    Args:
        changed: told each answer (metrics).
    """

    def __init__(self, kafka: Kafka, store: Store, changed: Callable[[str, bool], None] = lambda _name, _ok: None) -> None:
        self._admin = AdminClient(
            {
                **clients.librdkafka(kafka, client_id="wardstream-gateway-probe"),
                "topic.metadata.refresh.interval.ms": -1,
                "reconnect.backoff.max.ms": 1000,
            }
        )
        self._topic = kafka.topic_prefix + topics.RECEIVED
        self._store = store
        self._changed = changed
        self.parts = {"broker": False, "store": False}

    async def watch(self) -> None:
        """Ask for ever; cancel to end."""
        while True:
            await self.ask()
            await asyncio.sleep(INTERVAL_S)

    async def ask(self) -> None:
        broker, store = await asyncio.gather(asyncio.to_thread(self._broker), self._store_answers())
        for name, ok in (("broker", broker), ("store", store)):
            self.parts[name] = ok
            self._changed(name, ok)

    def _broker(self) -> bool:
        """The broker answers and has the topic."""
        try:
            metadata = self._admin.list_topics(timeout=TIMEOUT_S)
        except KafkaException:
            return False
        return self._topic in metadata.topics

    async def _store_answers(self) -> bool:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._store.ping()
        except (StoreUnavailable, RedisError, OSError, TimeoutError):
            return False
        return True
