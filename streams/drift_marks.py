"""Where the watch over drift says that a sender's messages no longer look as they did, so that the feedback stage has a look at them.

One key of Redis for each sender and kind of message, without text: whoever watches sets it, and it expires by itself.
"""

from __future__ import annotations

from typing import Final

from streams.store import Store

PREFIX: Final = "wardstream:drift:"


def place(sender: str, kind: str) -> str:
    """Key of the mark. ``sender`` is a pseudonym, empty where messages do not say; ``kind`` as in findings (``ORU^R01``)."""
    return f"{PREFIX}{sender}:{kind}"


async def mark(redis: Store, sender: str, kind: str, ttl_s: int) -> None:
    """Messages of this kind from this sender have shifted; again within ``ttl_s`` seconds prolongs it. Raises StoreUnavailable."""
    await redis.set(place(sender, kind), b"1", ex=ttl_s)


async def marked(redis: Store, sender: str, kind: str) -> bool:
    """Whether a mark stands now. Raises StoreUnavailable."""
    return bool(await redis.exists(place(sender, kind)))
