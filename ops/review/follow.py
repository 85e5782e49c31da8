"""The queue as the log goes on: a thread reads samples and labels, the event loop takes them in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import structlog

from ops.review.queue import Queue
from schemas.errors import WardstreamError
from streams import topics
from streams.logs import describe
from streams.record import Record
from streams.settings import Kafka
from streams.tail import tail

READS = (topics.SAMPLE, topics.LABEL)
#: Records that may wait for the loop.
_WAITING = 500
_RETRY_S = 1.0

_log = structlog.get_logger("review")


def read_all(kafka: Kafka, queue: Queue) -> Queue:
    """Take in the log as far as it goes now. Raises BrokerUnavailable."""
    for record in tail(kafka, READS, to_end=True):
        queue.apply(record)
    return queue


class Follower:
    """``ready`` while the whole log has been taken in and the broker is there; started on the loop that the queue belongs to.

    Args:
        erase: called on the loop with the ids of labels whose sample was withdrawn.
    """

    def __init__(self, kafka: Kafka, queue: Queue, erase: Callable[[tuple[str, ...]], None]) -> None:
        self._kafka, self._queue, self._erase = kafka, queue, erase
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._room = threading.BoundedSemaphore(_WAITING)
        self._thread = threading.Thread(target=self._run, name="review-follow", daemon=True)
        self.ready = False

    def start(self) -> None:
        self._thread.start()

    async def stop(self) -> None:
        self._stop.set()
        await asyncio.to_thread(self._thread.join, 5)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                for record in tail(self._kafka, READS, stop=self._stop.is_set, caught_up=self._caught_up):
                    while not self._room.acquire(timeout=0.2):
                        if self._stop.is_set():
                            return
                    self._loop.call_soon_threadsafe(self._take, record)
            except WardstreamError as error:
                # from the beginning again: until the end is reached an erased sample may seem to be there, so nothing is shown
                self._loop.call_soon_threadsafe(self._set, False)
                _log.warning("not_following", **describe(error))
            except RuntimeError:  # the loop is closed
                return
            self._stop.wait(_RETRY_S)

    def _caught_up(self) -> None:
        self._loop.call_soon_threadsafe(self._set, True)

    def _set(self, ready: bool) -> None:
        self.ready = ready

    def _take(self, record: Record) -> None:
        self._room.release()
        if ids := self._queue.apply(record):
            self._erase(ids)
