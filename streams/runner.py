"""The one discipline that every stage runs under. In short: take without acknowledging, process in a bounded pipeline off the
event loop, produce, wait for the delivery reports, acknowledge in order; never raise out of the agent.

How a worker ends says what its supervisor should do (numbers of sysexits.h):

* 0: asked to stop; what was in flight is stored and committed.
* 75: the broker, the store or a receiver stayed away longer than ``retry_patience_s``: start again later.
* 70: the stage's offsets stood still for ``stuck_after_s``, or a bug in this module: start again.
* 77: privacy violation: do not start again before somebody has looked.
* 78: configuration: do not start again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import faust
import structlog
from aiokafka.errors import KafkaError as KafkaClientError
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from schemas.errors import BrokerUnavailable, ConfigurationError, PrivacyViolation, Retryable
from streams import clients, logs, membership, memory, store
from streams.batches import Batches
from streams.faust_app import group_id, make_app
from streams.gathering import Gathering
from streams.health import Health, HealthServer
from streams.metrics import StreamMetrics
from streams.processing import FIRST_DELAY_S, LONGEST_DELAY_S, Processing
from streams.producer import Producer
from streams.settings import Settings
from streams.stage import Observed, Stage
from streams.suspects import Suspects
from streams.watchdog import Partition, Watchdog

EX_OK, EX_SOFTWARE, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG = 0, os.EX_SOFTWARE, os.EX_TEMPFAIL, os.EX_NOPERM, os.EX_CONFIG

#: A stop that was asked for may take this long before the process ends itself; the supervisor's own limit lies above it.
DRAIN_S = 25.0

Log = structlog.typing.FilteringBoundLogger


def run(stage: Stage, reads: str, settings: Settings) -> int:
    """Run ``stage`` on the topic ``reads`` (logical name) until SIGTERM or SIGINT; returns the exit code."""
    worker = settings.worker
    log = logs.configure(worker.log_format, worker.log_level)
    return asyncio.run(Runner(stage, reads, settings, log).serve())


def exit_code(error: BaseException) -> int:
    """The exit code that says what to do about ``error``."""
    match error:
        case PrivacyViolation():
            return EX_NOPERM
        case ConfigurationError():
            return EX_CONFIG
        case Retryable() | KafkaClientError():
            return EX_TEMPFAIL
        case _:
            return EX_SOFTWARE


class _TopicMissing(ConfigurationError):
    """May still appear: the command that creates topics runs beside the workers at a first start."""


class Runner:
    """One stage in one process."""

    def __init__(self, stage: Stage, reads: str, settings: Settings, log: Log) -> None:
        self._stage = stage
        self._reads = reads
        self._settings = settings
        self._log = log
        self._group = group_id(settings.kafka, stage.name)
        self._metrics = StreamMetrics()
        self._health = Health({"stage", "assignment"})
        self._assigned: frozenset[Partition] = frozenset()
        if isinstance(stage, Observed):
            stage.observe(self._metrics, self._health)

    async def serve(self) -> int:
        """Everything from start to exit code; raises nothing."""
        worker = self._settings.worker
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        self._metrics.build.labels(version("wardstream"), self._stage.name).set(1)
        try:
            server = HealthServer(worker.metrics_host, worker.metrics_port, self._health, self._metrics.registry)
        except ConfigurationError as error:
            return self._ended(error)
        server.start()
        self._log.info("starting", stage=self._stage.name, topic=self._reads, group=self._group, port=server.port)
        try:
            if not await self._open(stop):
                return EX_OK
            self._health.waiting.discard("stage")
            memory.started()
            await self._consume(stop)
        except BaseException as error:
            return self._ended(error)
        else:
            self._log.info("stopped", stage=self._stage.name, exit_code=EX_OK)
            return EX_OK
        finally:
            with contextlib.suppress(Exception):
                await self._stage.close()
            server.stop()

    async def _open(self, stop: asyncio.Event) -> bool:
        """Wait for the broker and open the stage; False when asked to stop before both are there."""
        for step in (self._find_topic, self._take_over, self._stage.open):
            deadline = time.monotonic() + self._settings.worker.retry_patience_s
            delay = FIRST_DELAY_S
            while not stop.is_set():
                try:
                    await step()
                    break
                except (Retryable, _TopicMissing) as error:
                    if time.monotonic() + delay > deadline:
                        raise
                    self._log.warning("retry", stage=self._stage.name, reason=error.reason.value, path=error.path)
                    await asyncio.sleep(delay)
                    delay = min(LONGEST_DELAY_S, 2 * delay)
        return not stop.is_set()

    async def _find_topic(self) -> None:
        """Faust waits for a missing topic in silence and dies of a missing broker, so both are asked for before it starts."""
        kafka = self._settings.kafka
        name = kafka.topic_prefix + self._reads
        client = AdminClient({**clients.librdkafka(kafka, client_id=self._group), "log_level": 0})
        try:
            found = (await asyncio.to_thread(client.list_topics, name, timeout=5)).topics[name]
        except KafkaException as error:
            raise BrokerUnavailable(path="kafka.bootstrap", detail=str(error.args[0].name())) from None
        if found.error is not None and found.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise ConfigurationError(path=self._reads, detail="no permission to read the topic")
        if found.error is not None:
            raise _TopicMissing(path=self._reads, detail="the topic does not exist; run wardstream topics apply")

    async def _take_over(self) -> None:
        """In a restarted container the one that died there has this name: its partitions need not wait for the end of its session."""
        with contextlib.suppress(Retryable):
            if await membership.expel(self._settings.kafka, self._group, membership.member_name(self._group)):
                self._log.info("predecessor_expelled", stage=self._stage.name, group=self._group)

    async def _consume(self, stop: asyncio.Event) -> None:
        settings, log = self._settings, self._log
        redis = store.connect(settings.redis)
        suspects = Suspects(redis, self._group, clock=time.monotonic, log=log)
        producer = Producer(settings.kafka, client_id=self._group)
        processing = Processing(
            self._stage,
            settings.worker.retry_patience_s,
            self._metrics,
            time.monotonic,
            asyncio.sleep,
            random.Random(),  # noqa: S311 - jitter
            log,
        )
        batches = Batches(
            processing,
            producer,
            suspects,
            limit=settings.worker.batches_in_flight,
            metrics=self._metrics,
            now=lambda: datetime.now(UTC),
            log=log,
        )
        worker = settings.worker
        gathering = Gathering(
            batches,
            size=worker.batch_size,
            wait_s=worker.batch_wait_s,
            busy_wait_s=worker.batch_busy_wait_s,
            prefix=len(settings.kafka.topic_prefix),
        )
        app = self._application(gathering, suspects)
        watchdog = Watchdog(
            settings.kafka,
            self._group,
            assigned=lambda: self._assigned,
            on_look=self._looked,
            clock=time.monotonic,
            interval_s=min(5.0, settings.worker.stuck_after_s / 4),
        )
        try:
            await app.start()
            watchdog.start()
            asked = asyncio.create_task(stop.wait())
            ended = asyncio.create_task(app.wait_until_stopped())
            waiting: list[asyncio.Future[Any]] = [asked, batches.failed, ended]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            self._health.waiting.add("drain")
            if batches.failed.done():
                await self._leave(app)
                batches.failed.result()
            if not stop.is_set():
                raise RuntimeError("the stream ended by itself")
            await asyncio.wait_for(app.stop(), DRAIN_S)
        finally:
            watchdog.stop()
            await gathering.close()
            await batches.close()
            await producer.close()
            await redis.aclose()

    def _application(self, gathering: Gathering, suspects: Suspects) -> faust.App:
        app = make_app(self._settings, self._stage.name)
        topic = app.topic(self._settings.kafka.topic_prefix + self._reads, key_type=bytes, value_type=bytes, allow_empty=True)

        app.agent(topic, name=f"{self._group}-agent", concurrency=1)(gathering.follow)

        async def assigned(_app: Any, assigned: Any = (), **_: Any) -> None:
            self._assigned = frozenset((tp.topic, tp.partition) for tp in assigned)
            self._metrics.assigned_partitions.labels(self._stage.name).set(len(self._assigned))
            self._health.waiting.discard("assignment")
            self._log.info("assigned", stage=self._stage.name, partitions=sorted(tp.partition for tp in assigned))

        async def revoked(_app: Any, revoked: Any = (), **_: Any) -> None:
            suspects.forget()

        app.on_partitions_assigned.connect(assigned, weak=False)
        app.on_partitions_revoked.connect(revoked, weak=False)
        return app

    async def _leave(self, app: faust.App) -> None:
        """Commit what was acknowledged and leave the group, so that another worker can take over at once."""
        app.conf.stream_wait_empty = False
        with contextlib.suppress(Exception):
            await asyncio.wait_for(app.stop(), 5)

    def _looked(self, age_s: float, lag: int | None) -> None:
        name, limit = self._stage.name, self._settings.worker.stuck_after_s
        if lag is None:
            self._health.waiting.add("broker")
            return
        self._health.waiting.discard("broker")
        self._metrics.commit_age_seconds.labels(name).set(age_s)
        self._metrics.lag_records.labels(name).set(lag)
        if age_s < limit:
            self._health.waiting.discard("progress")
            return
        self._health.waiting.add("progress")
        self._log.error("stuck", stage=name, age_s=round(age_s, 1), lag=lag)
        if age_s > 1.25 * limit:  # readiness has told; the loop may be blocked, so nothing gentler can be relied on
            self._log.critical("ended", stage=name, exit_code=EX_SOFTWARE)
            os._exit(EX_SOFTWARE)

    def _ended(self, error: BaseException) -> int:
        code = exit_code(error)
        reason = getattr(error, "reason", None)
        self._log.critical(
            "ended",
            stage=self._stage.name,
            exit_code=code,
            reason=reason.value if reason else None,
            path=getattr(error, "path", None),
            **logs.describe(error),
        )
        return code


def exit_process(code: int) -> None:
    """End the process now if threads of a library would keep a finished worker alive."""
    sys.stdout.flush()
    sys.stderr.flush()
    if any(not thread.daemon and thread is not threading.main_thread() for thread in threading.enumerate()):
        os._exit(code)
    sys.exit(code)
