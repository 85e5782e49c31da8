"""The process ``wardstream review serve``: the page with its queue and its log."""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import UTC, datetime
from urllib.parse import urlsplit

import structlog

from gateway.listener import HttpListener, run_until_stopped
from gateway.tls import server_context
from ops.audited import Act
from ops.review.accounts import Accounts, Pseudonyms
from ops.review.follow import READS, Follower
from ops.review.metrics import Metrics
from ops.review.page import ReviewPage
from ops.review.queue import Queue
from ops.review.sessions import Sessions
from ops.review.verdicts import Guideline, erased
from ops.serving import is_loopback
from schemas.errors import BrokerUnavailable, ConfigurationError, WardstreamError
from streams.admin import Admin
from streams.health import Health, HealthServer
from streams.logs import describe
from streams.producer import Producer
from streams.settings import Kafka, Review, Settings
from streams.topics import BY_NAME, SAMPLE
from training.data.reviewers import gold_of

_log = structlog.get_logger("review")
_HOUR_S = 3600
#: Between two looks at the queue for the metrics.
_MEASURED_S = 5.0


def make_queue(review: Review) -> Queue:
    """An empty queue of this site. Raises ConfigurationError: no key, or gold questions that cannot be read."""
    return Queue(review, Pseudonyms.load(review.key_file), gold_of(review), clock=time.monotonic)


def origins(review: Review, port: int) -> frozenset[str]:
    """How browsers may call the page. Raises ConfigurationError: it would be open to a network without TLS."""
    if review.base_url is not None:
        url = urlsplit(review.base_url)
        if url.scheme not in ("https", "http") or not url.netloc:
            raise ConfigurationError(path="review.base_url", detail="is no http or https address")
        if url.scheme == "http" and not is_loopback(url.hostname or ""):
            raise ConfigurationError(path="review.base_url", detail="needs https")
        return frozenset({f"{url.scheme}://{url.netloc}"})
    if not is_loopback(review.host):
        raise ConfigurationError(path="review.base_url", detail="is needed where others than this machine can call")
    scheme = "https" if review.tls_certificate_file is not None else "http"
    host = f"[{review.host}]" if ":" in review.host else review.host
    return frozenset({f"{scheme}://{host}:{port}", f"{scheme}://localhost:{port}"})


async def _require_topics(kafka: Kafka) -> None:
    try:
        existing = await asyncio.to_thread(lambda: Admin(kafka).existing())
    except BrokerUnavailable:
        return  # it may come later; the page says that it is not ready
    for name in READS:
        if kafka.topic_prefix + name not in existing:
            raise ConfigurationError(path=name, detail="the topic is missing: wardstream topics apply")


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run until ``stop`` is set.

    Raises:
        ConfigurationError: no reviewers, no key, no topics, an unusable file, an address that cannot be taken or would be open without TLS.
    """
    review = settings.review
    pseudonyms = Pseudonyms.load(review.key_file)
    queue = make_queue(review)

    def accounts() -> Accounts:
        return Accounts.load(review.reviewers_file, pseudonyms)

    accounts()
    origins(review, review.port)
    await _require_topics(settings.kafka)
    tls = server_context("review.tls", review.tls_certificate_file, review.tls_key_file, None)
    producer = Producer(settings.kafka, client_id="wardstream-review")
    erasing: set[asyncio.Task[None]] = set()

    async def erase_all(ids: tuple[str, ...]) -> None:
        act = Act(str(uuid.uuid4()), "review", "HOPERAT", datetime.now(UTC))
        for name in ids:
            try:
                await producer.produce(erased(name, act))
            except WardstreamError as error:  # the next start finds it again
                _log.error("label_not_erased", **describe(error))

    async def forget() -> None:
        while True:
            if (kept_ms := BY_NAME[SAMPLE].retention_ms) > 0:
                queue.forget(int(datetime.now(UTC).timestamp() * 1000) - kept_ms)
            await asyncio.sleep(_HOUR_S)

    metrics = Metrics()

    async def measure() -> None:
        while True:
            metrics.show(queue)
            await asyncio.sleep(_MEASURED_S)

    def erase(ids: tuple[str, ...]) -> None:
        task = asyncio.create_task(erase_all(ids))
        erasing.add(task)
        task.add_done_callback(erasing.discard)

    follower = Follower(settings.kafka, queue, erase)
    page = ReviewPage(
        queue,
        accounts,
        Guideline.load(review.guideline),
        producer.produce,
        Sessions(review.session_hours * _HOUR_S, time.monotonic),
        lambda: follower.ready,
    )
    worker = settings.worker
    health = HealthServer(worker.metrics_host, worker.metrics_port, Health(), metrics.registry)
    health.start()
    listener = HttpListener(page.app(), tls, patience_s=settings.kafka.delivery_timeout_s)
    try:
        follower.start()
        try:
            port = await listener.start(review.host, review.port)
        except OSError:
            raise ConfigurationError(path="review.port", detail="the address cannot be taken") from None
        page.door.origins = origins(review, port)
        _log.info("listening", host=review.host, port=port, detail="review")
        beside = [asyncio.create_task(forget()), asyncio.create_task(measure())]
        await stop.wait()
        for task in beside:
            task.cancel()
        await listener.stop()
    finally:
        health.stop()
        await follower.stop()
        if erasing:
            await asyncio.wait(erasing)
        await producer.close()


def run(settings: Settings) -> int:
    """The ``wardstream review serve`` command; 0 after a graceful stop. Raises as ``serve``."""
    return run_until_stopped(settings.worker, lambda stop: serve(settings, stop))
