"""One subscriber: handshake, its notifications in their order until each is accepted, heartbeats in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import structlog

from agents.publish.notification import Kind, News, Status, notification
from agents.publish.outbox import Outbox
from agents.publish.subscriptions import Subscription
from schemas.errors import StoreUnavailable
from streams.logs import describe

#: Wait after the first failure, doubling up to the longest, the last half of it at random.
FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 300.0
#: How often the store is asked when nothing woke us: another worker may have added something, or may have gone.
POLL_S = 1.0
#: Added to the time that one request may take: how long another worker waits for one that was killed.
LEASE_S = 10.0
_FHIR_JSON = "application/fhir+json"


@dataclass(slots=True)
class Notifier:
    """``run`` goes on until it is cancelled; an answer other than 2xx, or none, is tried again for as long as the notification is kept.

    ``owner`` names this process, ``clock`` gives seconds (monotonic), ``now`` the time of day, ``chance`` 0 to 1.
    """

    subscription: Subscription
    outbox: Outbox
    client: httpx.AsyncClient
    headers: dict[str, str]
    owner: str
    timeout_s: float
    sleep: Callable[[float], Awaitable[None]]
    clock: Callable[[], float]
    now: Callable[[], float]
    chance: Callable[[], float]
    failures: int = 0
    silent_since: float | None = None

    async def run(self) -> None:
        """Cancelled in the middle of a request, it first hears the answer: what was accepted is not sent again by the next process."""
        while True:
            turn = asyncio.ensure_future(self._turn())
            try:
                wait = await asyncio.shield(turn)
            except asyncio.CancelledError:
                await asyncio.wait({turn}, timeout=self.timeout_s + LEASE_S)
                turn.cancel()
                raise
            await self.sleep(wait)

    async def release(self) -> None:
        """After ``run``: another worker need not wait for the end of the lease."""
        with suppress(StoreUnavailable):
            await self.outbox.release(self.owner)

    async def _turn(self) -> float:
        try:
            return await self.turn()
        except StoreUnavailable:
            return POLL_S
        except Exception as error:
            structlog.get_logger().error("unexpected", subscription=self.subscription.name, **describe(error))
            return LONGEST_DELAY_S

    async def turn(self) -> float:
        """Send what is due; returns the seconds until something may be due again. Raises StoreUnavailable."""
        if not await self.outbox.lease(self.owner, self.timeout_s + LEASE_S):
            return POLL_S
        if self.silent_since is None:
            self.silent_since = self.clock()
        state = await self.outbox.state()
        if state.status is None or state.status == "requested":
            return await self._send("handshake", "requested", state.events)
        waiting = await self.outbox.first()
        if waiting is not None:
            wait = await self._send("event-notification", state.status, waiting.last, waiting.news)
            if not self.failures:
                await self.outbox.told(waiting)
            return wait
        beat = self.subscription.heartbeat_s
        if beat is None:
            return POLL_S
        due = self.silent_since + beat - self.clock()
        return await self._send("heartbeat", state.status, state.events) if due <= 0 else min(due, POLL_S)

    async def _send(self, kind: Kind, status: Status, events: int, told: News | None = None) -> float:
        body = notification(self.subscription, kind, status, events=events, now=_instant(self.now()), told=told)
        answer = await self._post(body)
        self.silent_since = self.clock()
        if answer is not None and answer.is_success:
            self.failures = 0
            if status != "active":
                await self.outbox.mark("active")
                _log("subscriber_active", self.subscription)
            return 0.0
        self.failures += 1
        if kind != "handshake" and status != "error":
            await self.outbox.mark("error")
            _log("subscriber_failing", self.subscription, http_status=answer.status_code if answer is not None else 0)
        delay: float = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(self.failures - 1, 16))
        delay = delay / 2 + self.chance() * delay / 2
        asked: str = answer.headers.get("retry-after", "") if answer is not None else ""
        return min(LONGEST_DELAY_S, max(delay, float(asked))) if asked.isascii() and asked.isdigit() else delay

    async def _post(self, body: bytes) -> httpx.Response | None:
        headers = {**self.headers, "content-type": _FHIR_JSON, "accept": _FHIR_JSON}
        try:
            async with asyncio.timeout(self.timeout_s):  # the client's own holds for each part of an answer, not for all of it
                return await self.client.post(self.subscription.endpoint, content=body, headers=headers)
        except (httpx.HTTPError, TimeoutError):
            return None


def _log(event: str, subscription: Subscription, **more: int) -> None:
    structlog.get_logger().warning(event, subscription=subscription.name, **more)


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
