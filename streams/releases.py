"""Follow ``ops.model.released.v1``: what is released now is applied, over and over until it holds or something newer is there."""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec
import structlog

from schemas.errors import ConfigurationError, Retryable, StoreUnavailable, WardstreamError
from schemas.releases import ModelRelease
from streams import topics
from streams.record import Record
from streams.settings import Kafka
from streams.tail import tail

#: How long until a bundle that could not be fetched is tried again, and until a broker that is away is asked again, seconds.
RETRY_S = 2.0

Log = structlog.typing.FilteringBoundLogger


def released(kafka: Kafka) -> dict[str, ModelRelease]:
    """The newest release of every model, by name. Raises BrokerUnavailable."""
    found: dict[str, ModelRelease] = {}
    for record in tail(kafka, [topics.MODEL], to_end=True):
        release = _decode(record)
        if release is not None:
            found[release.name] = release
    return found


class Follower:
    """Reads in one thread and applies in another. ``apply`` may take long; of releases that come meanwhile only the newest is applied.

    ``apply`` raises ConfigurationError (this release is refused, and not tried again) or Retryable (tried again every ``RETRY_S``).
    ``told`` hears of every attempt's end: the release and what went wrong, or None.
    """

    def __init__(
        self,
        kafka: Kafka,
        name: str,
        apply: Callable[[ModelRelease], None],
        told: Callable[[ModelRelease, WardstreamError | None], None],
        log: Log,
    ) -> None:
        self._kafka, self._name, self._apply, self._told, self._log = kafka, name, apply, told, log
        self._changed = threading.Condition()
        self._wanted: ModelRelease | None = None
        self._seen = -1
        self._live = False
        self._caught_up = threading.Event()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=run, name=f"releases-{what}", daemon=True)
            for what, run in (("read", self._read), ("apply", self._work))
        ]

    def start(self, wait_s: float) -> bool:
        """Begin; returns when what is released now has been tried once, or after ``wait_s`` (False)."""
        for thread in self._threads:
            thread.start()
        return self._caught_up.wait(wait_s)

    def stop(self) -> None:
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(5)

    def _read(self) -> None:
        to_end = True
        while not self._stop.is_set():
            try:
                for record in tail(self._kafka, [topics.MODEL], stop=self._stop.is_set, to_end=to_end):
                    self._take(record)
                if to_end:
                    to_end = False
                    with self._changed:
                        self._live = True
                        if self._wanted is None:
                            self._caught_up.set()
                        self._changed.notify_all()
            except Exception as error:
                reason = error.reason.value if isinstance(error, WardstreamError) else type(error).__name__
                self._log.warning("releases_unreadable", reason=reason)
                self._stop.wait(RETRY_S)

    def _take(self, record: Record) -> None:
        if record.offset <= self._seen:  # one partition; a new reader begins at the beginning
            return
        self._seen = record.offset
        release = _decode(record)
        if release is None or release.name != self._name:
            return
        with self._changed:
            self._wanted = release
            self._changed.notify_all()

    def _work(self) -> None:
        done: ModelRelease | None = None
        while not self._stop.is_set():
            with self._changed:
                # what was released long ago is passed over: nothing is applied before the end has been seen once
                while not self._stop.is_set() and (not self._live or self._wanted is done):
                    self._changed.wait()
                if self._wanted is None or self._stop.is_set():
                    return
                wanted = self._wanted
            try:
                self._apply(wanted)
            except ConfigurationError as error:
                done = wanted
                self._told(wanted, error)
            except (
                Exception
            ) as error:  # a full disk or a runtime's own error must not end the thread: nobody would follow releases any more
                self._told(wanted, error if isinstance(error, Retryable) else StoreUnavailable(path=type(error).__name__))
                self._caught_up.set()
                with self._changed:
                    if self._wanted is wanted and not self._stop.is_set():
                        self._changed.wait(RETRY_S)
            else:
                done = wanted
                self._told(wanted, None)
            self._caught_up.set()


def _decode(record: Record) -> ModelRelease | None:
    try:
        return msgspec.json.decode(record.value or b"null", type=ModelRelease | None)
    except (msgspec.MsgspecError, UnicodeDecodeError):  # nothing of ours: a worker goes on with what it has
        return None
