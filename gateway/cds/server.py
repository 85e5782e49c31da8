"""The process ``wardstream cds``: the CDS Hooks door with its store, its log and its keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpx
import structlog

from gateway.cds.fhir import FhirReader
from gateway.cds.hooks import CdsDoor, Check
from gateway.cds.tokens import Tokens
from gateway.listener import HttpListener, run_until_stopped
from gateway.tls import server_context
from schemas.errors import ConfigurationError
from streams import memory
from streams.card_index import CardIndex
from streams.health import Health, HealthServer
from streams.keyring import read_keyring
from streams.producer import Producer
from streams.settings import Settings
from streams.store import Store, connect

_log = structlog.get_logger("cds")
_DAY_S = 86_400
#: How long what was shown at selection is kept for the signing.
_ORDERING_S = 12 * 3600


async def fetch(store: Store, rows: Sequence[str]) -> list[bytes]:
    """Every card of these rows. Raises StoreUnavailable."""
    async with store.pipeline(transaction=False) as pipe:
        for row in rows:
            pipe.hvals(row)
        answers = await pipe.execute() if rows else []
    return [value for answer in answers for value in answer]


class ShownInStore:
    """See ``gateway.cds.hooks.Shown``; one hash a day, gone when its cards would no longer be shown."""

    def __init__(self, store: Store, tenant: str, days: int, clock: Callable[[], float] = time.time) -> None:
        self._store, self._prefix, self._days, self._clock = store, f"h:{tenant}:s:", days, clock

    async def keep(self, cards: Sequence[tuple[str, str]]) -> None:
        name = self._name(0)
        async with self._store.pipeline(transaction=False) as pipe:
            pipe.hset(name, mapping=dict(cards))
            pipe.expire(name, (self._days + 1) * _DAY_S)
            await pipe.execute()

    async def type_of(self, card: str) -> str | None:
        async with self._store.pipeline(transaction=False) as pipe:
            for ago in range(self._days + 1):
                pipe.hget(self._name(ago), card)
            answers = await pipe.execute()
        found = next((answer for answer in answers if answer is not None), None)
        return found.decode() if isinstance(found, bytes) else found

    async def remember(self, place: str, marks: frozenset[str]) -> None:
        if marks:
            async with self._store.pipeline(transaction=False) as pipe:
                pipe.hset(place, mapping=dict.fromkeys(marks, b"1"))
                pipe.expire(place, _ORDERING_S)
                await pipe.execute()

    async def remembered(self, place: str) -> frozenset[str]:
        fields: Iterable[Any] = await self._store.hgetall(place)
        return frozenset(field.decode() for field in fields)

    def _name(self, days_ago: int) -> str:
        return f"{self._prefix}{int(self._clock()) // _DAY_S - days_ago}"


async def serve(settings: Settings, stop: asyncio.Event, check: Check | None = None) -> None:
    """Run until ``stop`` is set. ``check`` judges draft orders; without it only what the stream computed is shown.

    Raises:
        ConfigurationError: no issuer and not for development, unusable keys or TLS files, or the address cannot be taken.
        StoreUnavailable: the keyring cannot be read now.
    """
    cds = settings.cds
    if not cds.issuers and not cds.development:
        raise ConfigurationError(path="cds.issuers", detail="name the EHRs that may call, or set cds.development for a sandbox")
    index = CardIndex(await read_keyring(settings), settings.deid)
    store, producer = connect(settings.redis), Producer(settings.kafka, client_id="wardstream-cds")

    async def seen(name: str, seconds: int) -> bool:
        return bool(await store.set(f"h:{settings.deid.tenant}:j:{name}", b"1", nx=True, ex=seconds))

    async def read(rows: Sequence[str]) -> list[bytes]:
        return await fetch(store, rows)

    tokens = Tokens(cds.issuers, seen) if cds.issuers else None
    client = httpx.AsyncClient(trust_env=False)
    door = CdsDoor(
        cds,
        index,
        tokens,
        read,
        producer.produce,
        ShownInStore(store, settings.deid.tenant, cds.days),
        check=check,
        reader=FhirReader(cds.fhir_servers, cds.fhir_timeout_s, client),
    )
    worker = settings.worker
    health = HealthServer(worker.metrics_host, worker.metrics_port, Health(), door.registry)
    health.start()
    tls = server_context("cds.tls", cds.tls_certificate_file, cds.tls_key_file, None)
    listener = HttpListener(door.app(), tls, patience_s=10)
    try:
        try:
            port = await listener.start(cds.host, cds.port)
        except OSError:
            raise ConfigurationError(path="cds.port", detail="the address cannot be taken") from None
        memory.started()
        _log.info("listening", host=cds.host, port=port, detail="cds-hooks")
        await stop.wait()
        await listener.stop()
    finally:
        health.stop()
        await client.aclose()
        await producer.close()
        await store.aclose()


def run(settings: Settings, check: Check | None = None) -> int:
    """The ``wardstream cds`` command; 0 after a graceful stop. Raises as ``serve``."""
    return run_until_stopped(settings.worker, lambda stop: serve(settings, stop, check))
