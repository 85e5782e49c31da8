"""Where an identifier could have come to rest: topics, the store, logs, metrics, answers of the doors."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import httpx
import redis

from ops.leakcheck.search import Search
from streams.settings import Kafka, Redis
from streams.tail import tail
from streams.topics import TOPICS, dead_letter

#: The vault holds identities, encrypted; its keys and values are searched like everything else.
_SCAN = 500
#: A read of the topics is over when nothing came for so long.
QUIET_S = 3.0


def search_topics(search: Search, kafka: Kafka, quiet_s: float = QUIET_S) -> int:
    """Keys and headers of every topic, values of all but ``phi.*``: there the identifiers belong. Returns the records read."""
    names = [t.name for t in TOPICS] + [dead_letter(t.name) for t in TOPICS if t.dead_letters]
    read, last = 0, time.monotonic()
    ends = time.monotonic() + 600

    def stop() -> bool:
        return time.monotonic() - last > quiet_s or time.monotonic() > ends

    for record in tail(kafka, names, stop=stop):
        read, last = read + 1, time.monotonic()
        topic = record.topic
        search.look(f"{topic} key", record.key or b"")
        search.look(f"{topic} headers", b" ".join(name.encode() + b" " + (value or b"") for name, value in record.headers))
        if not topic.startswith("phi."):
            search.look(f"{topic} value", record.value or b"")
    return read


def search_store(search: Search, settings: Redis) -> None:
    """Every key and value of the store, of any type, whatever wrote it.

    Raises:
        redis.RedisError: the store is unreachable or this user may not read all of it.
    """
    password = settings.password_file.read_text().strip() if settings.password_file else None
    with redis.Redis.from_url(settings.url, password=password, socket_timeout=settings.timeout_s) as client:
        for key in client.scan_iter("*", count=_SCAN):
            search.look("store keys", key)
            for part in _value(client, key):
                search.look("store values", part)


def _value(client: Any, key: bytes) -> Iterable[bytes]:
    """Everything under a key; ``client`` is Any because its typing mixes in text answers, which this one is not set to give."""
    match client.type(key):
        case b"string":
            return [client.get(key) or b""]
        case b"hash":
            return [part for pair in client.hgetall(key).items() for part in pair]
        case b"list":
            return list(client.lrange(key, 0, -1))
        case b"set":
            return list(client.smembers(key))
        case b"zset":
            return list(client.zrange(key, 0, -1))
        case b"stream":
            return [part for _, fields in client.xrange(key) for pair in fields.items() for part in pair]
        case _:
            return []


def search_files(search: Search, paths: Sequence[Path]) -> None:
    """Log files, trace exports, dumps and append-only files; folders whole."""
    for path in paths:
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        for file in files:
            search.look(f"file {file.name}", file.read_bytes())


def search_metrics(search: Search, urls: Sequence[str]) -> None:
    """Raises httpx.HTTPError when an endpoint does not answer: what was not searched must not look clean."""
    for url in urls:
        answer = httpx.get(url, timeout=10, trust_env=False)
        answer.raise_for_status()
        search.look(f"metrics {url}", answer.content)
