"""The gateway process: MLLP and HTTP doors on one event loop, one producer, one way to stop.

Stopping (SIGTERM, SIGINT): listeners close, what was received whole is stored and answered, then the producer and the store are
closed. A frame or body that is still arriving is not acknowledged; its sender sends it again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from gateway.access import Tokens
from gateway.duplicates import PATIENCE_S, Ledger, RedisLedger
from gateway.fhir import FhirDoor
from gateway.hl7 import Hl7Door
from gateway.http import HttpDoor
from gateway.intake import Clock, Intake, Log, utc_now
from gateway.listener import HttpListener, run_until_stopped
from gateway.metrics import GatewayMetrics
from gateway.mllp import Limits, MllpServer
from gateway.readiness import Readiness
from gateway.routing import RoutingKey
from gateway.tls import server_context
from schemas.errors import ConfigurationError, StoreUnavailable
from streams import memory, store
from streams.keyring import Opened, open_keyring
from streams.producer import Producer
from streams.sealing import Seal
from streams.settings import Settings

#: Between two looks for a store that is not there yet.
_RETRY_S = 1.0
#: Beyond the producer's own delivery timeout, for answers to leave.
STOP_MARGIN_S = 5.0

_log = structlog.get_logger("gateway")


@dataclass(frozen=True, slots=True)
class Ports:
    mllp: int
    http: int


class Gateway:
    """Both doors over one log and one ledger.

    Args:
        readiness: what ``/readyz`` tells, by dependency.

    Raises:
        ConfigurationError: no token and no client CA for HTTP; unusable TLS files.
    """

    def __init__(
        self,
        settings: Settings,
        log: Log,
        ledger: Ledger,
        readiness: Callable[[], dict[str, bool]],
        metrics: GatewayMetrics,
        routing: RoutingKey,
        *,
        clock: Clock = utc_now,
        seal: Seal | None = None,
    ) -> None:
        own = settings.gateway
        self._own = own
        self._patience_s = settings.kafka.delivery_timeout_s + STOP_MARGIN_S
        self.intake = Intake(
            log, max_in_flight=own.max_in_flight, clock=clock, seal=seal, delivered=metrics.delivery_seconds.observe
        )
        metrics.in_flight.set_function(lambda: self.intake.in_flight)
        self._hl7 = Hl7Door(
            self.intake,
            ledger,
            routing,
            charset_fallback=own.charset_fallback,
            observe=lambda outcome: metrics.observe("mllp", outcome),
        )
        limits = Limits(
            own.mllp_max_frame_bytes,
            own.mllp_frame_deadline_s,
            own.mllp_idle_timeout_s,
            own.mllp_max_connections,
            own.max_in_flight_per_sender,
        )
        self._mllp = MllpServer(self._hl7, limits, metrics, monotonic=asyncio.get_running_loop().time)
        self._mllp_tls = server_context(
            "gateway.mllp_tls", own.mllp_tls_certificate_file, own.mllp_tls_key_file, own.mllp_tls_client_ca_file
        )
        http_tls = server_context(
            "gateway.http_tls", own.http_tls_certificate_file, own.http_tls_key_file, own.http_tls_client_ca_file
        )
        if own.http_token_file is None and own.http_tls_client_ca_file is None:
            raise ConfigurationError(path="gateway.http_token_file", detail="the FHIR door needs a token file or a client CA")
        fhir = FhirDoor(
            self.intake, routing, max_depth=own.http_max_depth, observe=lambda outcome: metrics.observe("fhir", outcome)
        )
        door = HttpDoor(
            fhir,
            max_body_bytes=own.http_max_body_bytes,
            registry=metrics.registry,
            readiness=readiness,
            max_in_flight_per_sender=own.max_in_flight_per_sender,
            needed=frozenset({"broker", "store"} if seal else {"broker"}),
        )
        tokens = Tokens.load(own.http_token_file) if own.http_token_file is not None else None
        self._http = HttpListener(door.app(tokens), http_tls, patience_s=self._patience_s)

    async def start(self) -> Ports:
        """Open both doors. Raises ConfigurationError when an address cannot be taken."""
        own = self._own
        try:
            mllp = await self._mllp.start(own.mllp_host, own.mllp_port, self._mllp_tls)
        except OSError:
            raise ConfigurationError(path="gateway.mllp_port", detail="the address cannot be taken") from None
        try:
            http = await self._http.start(own.http_host, own.http_port)
        except OSError:
            raise ConfigurationError(path="gateway.http_port", detail="the address cannot be taken") from None
        return Ports(mllp, http)

    async def stop(self) -> None:
        """Close the doors and answer what is in flight."""
        await asyncio.gather(self._mllp.stop(self._patience_s), self._http.stop())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_MARGIN_S):
                await self.intake.drained()
                await self._hl7.drained()


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run until ``stop`` is set. Raises ConfigurationError when it cannot start."""
    keys = await _keys(settings, stop)
    if keys is None:
        return
    loop = asyncio.get_running_loop()
    metrics = GatewayMetrics()
    redis = store.connect(settings.redis.model_copy(update={"timeout_s": min(settings.redis.timeout_s, PATIENCE_S)}))
    producer = Producer(settings.kafka, client_id="wardstream-gateway")
    watching: asyncio.Task[None] | None = None
    # with a patience of its own: without a key nothing is accepted, while the ledger may rest
    seal = Seal(keys.store, keys.ring, tenant=settings.deid.tenant, cache_s=0, reload=keys.reload)
    try:
        readiness = Readiness(settings.kafka, redis, lambda name, ok: metrics.ready.labels(name).set(ok))
        ledger = RedisLedger(
            redis,
            namespace=settings.kafka.topic_prefix,
            ttl_s=settings.gateway.dedupe_ttl_s,
            monotonic=loop.time,
            failed=metrics.ledger_failures.inc,
        )
        gateway = Gateway(
            settings,
            producer,
            ledger,
            lambda: dict(readiness.parts),
            metrics,
            RoutingKey(keys.ring),
            seal=seal if settings.secrets.seal_payloads else None,
        )
        ports = await gateway.start()
        watching = asyncio.create_task(readiness.watch())
        memory.started()  # or collections would show in the slowest acknowledgements
        _log.info("listening", host=settings.gateway.mllp_host, port=ports.mllp, detail="mllp")
        _log.info("listening", host=settings.gateway.http_host, port=ports.http, detail="http")
        await stop.wait()
        _log.info("stopping")
        watching.cancel()
        readiness.parts["broker"] = False
        await gateway.stop()
    finally:
        if watching is not None:
            watching.cancel()
        await producer.close()
        await redis.aclose()
        await seal.close()


async def _keys(settings: Settings, stop: asyncio.Event) -> Opened | None:
    """Waits for the store; ``None`` when asked to stop before it is there. Raises ConfigurationError when it holds no keyring."""
    while not stop.is_set():
        try:
            return await open_keyring(settings)
        except StoreUnavailable as error:
            _log.warning("retry", reason=error.reason.value, path=error.path)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _RETRY_S)
    return None


def run(settings: Settings) -> int:
    """The ``wardstream gateway`` command; returns 0 after a graceful stop.

    Raises:
        ConfigurationError: it cannot start.
    """
    return run_until_stopped(settings.worker, lambda stop: serve(settings, stop))
