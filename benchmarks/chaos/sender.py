"""An interface engine: every message is sent until it is acknowledged, one outstanding a connection, a patient always on the same one."""

from __future__ import annotations

import asyncio
import threading
import time
import zlib
from collections.abc import Sequence

from ops.messages import post_mllp
from schemas.errors import ReceiverUnavailable

_PAUSE_S = 0.5
_ACCEPTED, _REFUSED = frozenset({"AA", "CA"}), frozenset({"AR", "CR"})


class Sender(threading.Thread):
    """``acknowledged`` and ``refused`` count as it goes; ``retries``: how often a message had to be sent again; ``seconds``: until the last one was acknowledged."""

    def __init__(self, host: str, port: int, payloads: Sequence[bytes], *, patience_s: float, connections: int = 4) -> None:
        super().__init__(name="sender", daemon=True)
        self._place, self._patience_s = (host, port), patience_s
        self._lanes: list[list[bytes]] = [[] for _ in range(connections)]
        for payload in payloads:
            patient = payload.split(b"\rPID|1||", 1)[-1].split(b"^", 1)[0]
            self._lanes[zlib.crc32(patient) % connections].append(payload)
        self.acknowledged = self.refused = self.retries = self.given_up = 0
        self.seconds = 0.0

    def run(self) -> None:
        begun = time.monotonic()
        asyncio.run(self._send())
        self.seconds = time.monotonic() - begun

    async def _send(self) -> None:
        await asyncio.gather(*map(self._lane, self._lanes))

    async def _lane(self, payloads: Sequence[bytes]) -> None:
        waiting = list(payloads)
        deadline = time.monotonic() + self._patience_s
        while waiting:
            chunk = waiting[:16]
            try:
                codes = await post_mllp(*self._place, chunk[:1] if time.monotonic() > deadline - self._patience_s + 1 else chunk)
            except ReceiverUnavailable:
                codes = []
            done = 0
            for code in codes:
                if code not in _ACCEPTED and code not in _REFUSED:
                    break
                done += 1
                self.acknowledged += code in _ACCEPTED
                self.refused += code in _REFUSED
            waiting = waiting[done:]
            if done:
                deadline = time.monotonic() + self._patience_s
            else:
                self.retries += 1
                if time.monotonic() > deadline:
                    self.given_up += len(waiting)
                    return
                await asyncio.sleep(_PAUSE_S)
