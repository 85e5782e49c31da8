"""Raw records as they were posted, for people who run the whole stack: the demo and the whole-stream checks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from schemas.errors import Poison
from streams.record import Record
from streams.sealing import Seal, is_sealed, open_seal
from streams.settings import Settings

_CACHE_S = 60.0


def opener(settings: Settings) -> Callable[[Record], Record]:
    """A record with its payload in clear; what cannot be opened any more stays as it is. For one thread, on a loop of its own.

    Raises:
        StoreUnavailable: the keys cannot be asked for.
    """
    loop = asyncio.new_event_loop()
    seal: Seal | None = None

    def opened(record: Record) -> Record:
        nonlocal seal
        if record.value is None or record.key is None or not is_sealed(record.value):
            return record
        if seal is None:
            seal = loop.run_until_complete(open_seal(settings, cache_s=_CACHE_S))
        content_type = dict(record.headers).get("content-type", b"").decode()
        try:
            return replace(record, value=loop.run_until_complete(seal.unseal(record.key, content_type, record.value)))
        except Poison:
            return record

    return opened
