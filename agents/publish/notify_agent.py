"""The stages ``notify`` and ``notify_results``: subscribers hear of new Bundles, de-identified ones or those released for the EHR.

The offset moves when a notification waits in the store under its event number. One task a subscriber sends from there, so that one that is
down holds nobody else.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import httpx

from agents.publish.disclosure import disclosed
from agents.publish.notification import news
from agents.publish.notifier import Notifier
from agents.publish.outbox import Outbox
from agents.publish.subscriptions import Subscription, headers, load
from schemas.envelope import FHIR_JSON, DataClass, parse_headers
from schemas.errors import ConfigurationError, Poison, Reason, SchemaMismatch
from streams.record import Record
from streams.settings import Settings
from streams.stage import Done, Outcome, Refused
from streams.store import Store, connect

STAGE = "notify"


class NotifyStage:
    """See ``streams.stage.Stage``. ``sleep`` comes from outside so that tests need not wait."""

    def __init__(
        self,
        settings: Settings,
        *,
        name: str = STAGE,
        results: Literal["deid", "released"] = "deid",
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self._settings = settings
        self._results = results
        self._wanted = DataClass.INTERNAL if results == "deid" else DataClass.RESTRICTED
        self._sleep = sleep
        self._store: Store | None = None
        self._client: httpx.AsyncClient | None = None
        self._outboxes: list[tuple[Subscription, Outbox]] = []
        self._notifiers: list[Notifier] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Raises ConfigurationError when the file is missing or wrong. Subscribers may be down."""
        own = self._settings.subscriptions
        if own.file is None:
            raise ConfigurationError(path="subscriptions.file", detail="the file of subscriptions is needed")
        rows = [(one, headers(one.header_file, one.name)) for one in load(own.file) if one.results == self._results]
        if not rows:
            raise ConfigurationError(path="subscriptions.file", detail=f"no subscription to results: {self._results}")
        try:
            context = ssl.create_default_context(cafile=own.ca_file)
        except OSError:
            raise ConfigurationError(path="subscriptions.ca_file", detail="certificates cannot be read") from None
        self._client = httpx.AsyncClient(verify=context, timeout=own.timeout_s, trust_env=False)
        self._store = connect(self._settings.redis)
        owner, prefix = str(uuid.uuid4()), self._settings.kafka.topic_prefix
        for one, more in rows:
            outbox = Outbox(self._store, one, stage=self.name, kept=own.kept, prefix=prefix)
            self._outboxes.append((one, outbox))
            notifier = Notifier(
                subscription=one,
                outbox=outbox,
                client=self._client,
                headers=more,
                owner=owner,
                timeout_s=own.timeout_s,
                sleep=self._sleep,
                clock=time.monotonic,
                now=time.time,
                chance=random.random,
            )
            self._notifiers.append(notifier)
            self._tasks.append(asyncio.create_task(notifier.run()))

    async def process(self, records: Sequence[Record]) -> Sequence[Outcome]:
        """Raises StoreUnavailable: the batch comes again, and nothing is counted twice."""
        if self._store is None:
            raise RuntimeError("process before open")
        return [await self._one(record) for record in records]

    async def close(self) -> None:
        """What waits is sent by the next process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(notifier.release() for notifier in self._notifiers))
        if self._client is not None:
            await self._client.aclose()
        if self._store is not None:
            await self._store.aclose()
        self._tasks, self._notifiers, self._outboxes = [], [], []
        self._client, self._store = None, None

    async def _one(self, record: Record) -> Outcome:
        try:
            envelope = parse_headers(record.headers)
            envelope.require(self._wanted)
            if not envelope.content_type.startswith(FHIR_JSON):
                return Done()
            if record.value is None:
                raise SchemaMismatch(Reason.SCHEMA_MISMATCH, path="value")
            found = [(one, outbox, news(one, envelope.time, record.value)) for one, outbox in self._outboxes]
        except Poison as error:
            return Refused(error)
        outputs = []
        for one, outbox, what in found:
            if what is not None:
                await outbox.add(envelope.id, what)
                outputs.append(disclosed(self.name, record, envelope, one.reference, ordinal=one.name))
        return Done(tuple(outputs) if self._results == "released" else ())


def build(settings: Settings) -> NotifyStage:
    """The stage for de-identified results; nothing is opened before ``open``."""
    return NotifyStage(settings)
