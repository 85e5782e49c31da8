"""Canary patients through the stack of the demo, error paths included, and a planted leak that must be found."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from pathlib import Path

import pytest
import redis

from ops.leakcheck.canaries import Canary
from ops.leakcheck.run import leakcheck
from ops.stack import run_stack
from streams import topics
from streams.producer import Producer
from streams.record import Output


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_no_canary_is_found_and_a_planted_one_is(tmp_path: Path) -> None:
    """A first run finds nothing in topics, store, logs, metrics and answers; a second, after four leaks were planted, finds each."""
    with run_stack(tmp_path, overrides={"WARDSTREAM_WORKER__BATCH_SIZE": "16", "WARDSTREAM_DEID__USE_MODEL": "false"}) as stack:
        metrics = [child.ready_url.replace("/readyz", "/metrics") for child in (stack.gateway, *stack.workers) if child.ready_url]
        clean = leakcheck(stack.settings, stack.doors, count=2, seed=11, files=[stack.logs], metrics=metrics, settle_s=12)
        assert clean.hits == {}
        assert clean.searched["deid.message.ready.v1 value"] > 5_000
        assert clean.searched["phi.message.received.v1.dlq headers"] > 100
        assert clean.searched["store values"] > 0
        assert clean.answers["mllp AR"] + clean.answers.get("mllp AE", 0) >= 2
        assert any(code.startswith("http 4") for code in clean.answers)

        def plant(patients: Sequence[Canary]) -> None:
            canary = patients[0]
            packed = base64.b64encode(b"x" + canary.family.encode() + b"yy")
            headers = (("ce_id", canary.mrn.encode()),)

            async def send() -> None:
                producer = Producer(stack.settings.kafka, client_id="plant")
                await producer.send_all([Output(topics.SAMPLE, canary.email.upper().encode(), packed, headers)])
                await producer.close()

            asyncio.run(send())
            (stack.logs / "planted.log").write_text(f"phone {canary.phone.replace('-', ' ')}\n")
            with redis.Redis.from_url(stack.settings.redis.url) as client:
                client.set("planted", canary.street.encode().hex())

        found = leakcheck(
            stack.settings, stack.doors, count=1, seed=12, files=[stack.logs], metrics=metrics, settle_s=8, before_search=plant
        )
    assert {(place, kind) for place, kind, _ in found.hits} >= {
        (f"{topics.SAMPLE} key", "email"),
        (f"{topics.SAMPLE} value", "family name"),
        (f"{topics.SAMPLE} headers", "record number"),
        ("file planted.log", "phone"),
        ("store values", "street"),
    }
