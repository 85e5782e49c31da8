"""What ``wardstream doctor`` says of Redis, on a real one."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from ops.doctor import examine
from streams import embedded
from streams.settings import Kafka, Redis, Settings


@pytest.mark.parametrize(
    ("append_only", "fsync", "said"),
    [(False, "everysec", "no append-only file"), (True, "everysec", "appendfsync everysec"), (True, "always", None)],
)
def test_what_a_crash_could_take_is_told(tmp_path: Path, append_only: bool, fsync: str, said: str | None) -> None:
    """Found by the fault suite: with the last second of Redis the keys of acknowledged messages are gone; only ``always`` has none such."""
    with embedded.redis_server(tmp_path, append_only=append_only) as server:
        host, _, port = server.address.rpartition(":")
        with redis.Redis(host=host, port=int(port)) as client:
            client.config_set("appendfsync", fsync)
        settings = Settings(redis=Redis(url=f"redis://{server.address}/0"), kafka=Kafka(bootstrap="127.0.0.1:1"))
        found = {row.name: row for row in examine(settings)}
    assert found["redis"].state == "ok"
    row = found.get("redis persistence")
    assert (row.found if row else None) == said
    assert row is None or (row.state == "warn" and row.advice)
