"""Canary patients through the stack of the demo, error paths included, and a planted leak that must be found."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import redis

from ops.leakcheck.canaries import Canary
from ops.leakcheck.run import leakcheck
from ops.stack import Broker, Stack, run_stack
from streams import topics
from streams.producer import Producer
from streams.record import Output

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("broker", ["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def test_no_canary_is_found_and_a_planted_one_is(broker: Broker, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """The command finds nothing in topics, store, logs, metrics and answers; after leaks were planted, the check finds each."""
    if broker == "kafka":
        request.getfixturevalue("real_kafka")  # skips where none can run
    overrides = {"WARDSTREAM_WORKER__BATCH_SIZE": "16", "WARDSTREAM_DEID__USE_MODEL": "false"}
    with run_stack(tmp_path, broker, overrides=overrides) as stack:
        metrics = [child.ready_url.replace("/readyz", "/metrics") for child in (stack.gateway, *stack.workers) if child.ready_url]
        clean = _by_command(stack, *_leakcheck(stack, metrics), "--canaries", "2", "--seed", "11", "--settle", "12")
        assert clean["hits"] == []
        assert clean["searched_bytes"]["deid.message.ready.v1 value"] > 5_000
        assert clean["searched_bytes"]["phi.message.received.v1.dlq headers"] > 100
        assert clean["searched_bytes"]["store values"] > 0
        assert clean["answers"]["mllp AR"] + clean["answers"].get("mllp AE", 0) >= 2
        assert any(code.startswith("http 4") for code in clean["answers"])
        rare = _by_command(stack, "k-anonymity", "--json")
        assert rare["patients"] >= 2
        assert rare["unread_records"] == 0

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


def _leakcheck(stack: Stack, metrics: Sequence[str]) -> list[str]:
    doors = stack.doors
    where = ["--mllp", f"{doors.mllp_host}:{doors.mllp_port}", "--http", doors.http_url]
    where += ["--token-file", str(stack.root / "secrets" / "http.token"), "--files", str(stack.logs), "--json"]
    return ["leakcheck", *where, *(word for url in metrics for word in ("--metrics", url))]


def _by_command(stack: Stack, *arguments: str) -> dict[str, Any]:
    """As a site calls it; exit code 0 says that nothing was found."""
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", *arguments],
        capture_output=True, text=True, check=False, timeout=200, env={**os.environ, **stack.env}, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report
