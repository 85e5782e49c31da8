"""The gateway as a process on a real broker and a real Redis: "accepted" means stored, and an outage is told, never hidden."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from schemas.envelope import parse_headers
from schemas.mllp import encode_frame
from streams import embedded, kafka_local
from streams.sealing import is_sealed
from tests.support.gateway import Client, code, fields, hl7
from tests.support.gateway_site import Site


@pytest.fixture
def gateway(any_broker: str, redis_server: str, tmp_path: Path) -> Iterator[Site]:
    site = Site(any_broker, redis_server, tmp_path)
    site.start()
    yield site
    site.stop(signal.SIGKILL)


async def test_accepted_means_stored(gateway: Site) -> None:
    """Every AA and every 2xx has its record, once; refused messages have none; SIGTERM ends with 0; the log names nobody."""
    good = [hl7(f"K{n}") for n in range(40)]
    client = await Client.connect(gateway.mllp)
    answers = [code(await client.post(payload)) for payload in [*good, *good[:5], hl7(version="9"), b"nonsense"]]
    assert Counter(answers) == {"AA": 45, "AR": 2}
    patient = {"resourceType": "Patient", "id": "p1", "name": [{"family": "Doe"}]}
    assert (await asyncio.to_thread(gateway.post, patient)).status_code == 202
    messages = gateway.stored()
    values = await gateway.in_clear(messages)
    assert not any(b"Doe" in (message.value() or b"") or b"77001" in (message.value() or b"") for message in messages)
    assert Counter(values) == Counter([*good, json.dumps(patient).encode()])
    envelopes = [parse_headers([(name, value) for name, value in message.headers() or []]) for message in messages]
    assert len({envelope.id for envelope in envelopes}) == 41
    assert len({message.key() for message, value in zip(messages, values, strict=True) if value in good}) == 1
    await client.close()
    assert gateway.stop() == 0
    log = gateway.log.read_text()
    assert "Doe" not in log
    assert "77001" not in log


async def test_duplicates_survive_a_restart(gateway: Site) -> None:
    """A resend to a new process is still recognised (the ledger is in Redis), with other bytes still refused."""
    client = await Client.connect(gateway.mllp)
    control = uuid.uuid4().hex[:12]
    assert code(await client.post(hl7(control))) == "AA"
    await client.close()
    assert gateway.stop() == 0
    gateway.start()
    client = await Client.connect(gateway.mllp)
    assert code(await client.post(hl7(control))) == "AA"
    assert code(await client.post(hl7(control, text="other"))) == "AE"
    await client.close()
    assert len(gateway.stored()) == 1


async def test_stop_under_load_loses_no_accepted_message(gateway: Site) -> None:
    """SIGTERM in the middle of pipelined frames: what was acknowledged is stored, and the exit is 0."""
    accepted: set[bytes] = set()

    async def sender(name: int) -> None:
        client = await Client.connect(gateway.mllp)
        try:
            await client.raw(b"".join(encode_frame(hl7(f"{name}-{n}")) for n in range(300)))
            while (answer := await client.receive(20)) is not None:
                assert code(answer) == "AA"
                accepted.add(fields(answer, b"MSA")[2])
        except ConnectionError:
            return

    senders = [asyncio.create_task(sender(n)) for n in range(4)]
    while len(accepted) < 20:
        await asyncio.sleep(0.005)
    assert await asyncio.to_thread(gateway.stop) == 0
    await asyncio.gather(*senders)
    stored = {fields(value, b"MSH")[9] for value in await gateway.in_clear(gateway.stored())}
    assert len(accepted) >= 20
    assert accepted <= stored


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.usefixtures("real_kafka")
async def test_broker_outage(redis_server: str, tmp_path: Path) -> None:
    """Kafka dies and comes back: AE and 503 in between, readiness tells, and no acknowledged message is missing."""
    port = embedded.free_port()
    with ExitStack() as stack:
        broker = stack.enter_context(ExitStack())
        server = broker.enter_context(kafka_local.kafka(tmp_path / "kafka", port=port))
        site = Site(server.address, redis_server, tmp_path, delivery_timeout_s=2)
        site.start()
        stack.callback(site.stop, signal.SIGKILL)
        client = await Client.connect(site.mllp)
        accepted = [payload for n in range(20) if code(await client.post(payload := hl7(f"up-{n}"))) == "AA"]
        assert len(accepted) == 20
        os.kill(server.pid, signal.SIGKILL)
        down = [code(await client.post(hl7(f"down-{n}"))) for n in range(2)]
        assert down == ["AE", "AE"]
        refused = await asyncio.to_thread(site.post, {"resourceType": "Patient", "id": "p1"})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        await asyncio.to_thread(site.until, lambda: not site.ready())
        broker.close()
        stack.enter_context(kafka_local.kafka(tmp_path / "kafka", port=port))
        await asyncio.to_thread(site.until, site.ready)
        for n in range(2):
            # a sender repeats what got AE; a broker that has just come up may still elect its leaders
            for _ in range(20):
                if (answer := code(await client.post(hl7(f"down-{n}")))) == "AA":
                    break
                await asyncio.sleep(0.5)
            assert answer == "AA"
        await client.close()
        values = set(await site.in_clear(site.stored()))
        assert {*accepted, hl7("down-0"), hl7("down-1")} <= values


async def test_redis_outage_with_sealing(any_broker: str, tmp_path: Path) -> None:
    """Without the patients' keys nothing is accepted, in clear least of all, and readiness says so; what was accepted before is stored."""
    with embedded.redis_server(tmp_path / "redis") as redis:
        site = Site(any_broker, f"redis://{redis.address}/0", tmp_path)
        site.start()
        try:
            client = await Client.connect(site.mllp)
            assert code(await client.post(hl7("r1"))) == "AA"
            os.kill(redis.pid, signal.SIGKILL)
            assert code(await client.post(hl7("r2"))) == "AE"
            assert (await asyncio.to_thread(site.post, {"resourceType": "Patient", "id": "p1"})).status_code == 503
            await client.close()
            await asyncio.to_thread(
                site.until, lambda: httpx.get(f"http://127.0.0.1:{site.http}/readyz", trust_env=False).status_code == 503
            )
            (stored,) = site.stored()
            assert is_sealed(stored.value() or b"")
        finally:
            site.stop(signal.SIGKILL)


async def test_redis_outage_without_sealing(any_broker: str, tmp_path: Path) -> None:
    """Where payloads are not sealed, messages are still stored and acknowledged; a resend gets the same record id, so nothing doubles."""
    with embedded.redis_server(tmp_path / "redis") as redis:
        site = Site(any_broker, f"redis://{redis.address}/0", tmp_path, seal=False)
        site.start()
        try:
            client = await Client.connect(site.mllp)
            assert code(await client.post(hl7("r1"))) == "AA"
            os.kill(redis.pid, signal.SIGKILL)
            assert [code(await client.post(hl7(f"r{n}"))) for n in (1, 2, 2)] == ["AA", "AA", "AA"]
            await client.close()
            await asyncio.to_thread(
                site.until,
                lambda: httpx.get(f"http://127.0.0.1:{site.http}/readyz", trust_env=False).json()["status"] == "degraded",
            )
            ids = [dict(message.headers() or [])["ce_id"] for message in site.stored()]
            assert len(set(ids)) == 2
        finally:
            site.stop(signal.SIGKILL)
