"""The gateway as a process on a real broker and a real Redis: "accepted" means stored, and an outage is told, never hidden."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from ops.stack import make_keyring
from schemas.envelope import parse_headers
from schemas.mllp import encode_frame
from streams import admin, embedded, kafka_local
from streams.key_encryption.file import master_key
from streams.sealing import is_sealed, open_seal
from streams.settings import Deid, Kafka, Redis, Secrets, Settings
from streams.topics import RECEIVED
from tests.support.gateway import Client, code, fields, hl7

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "token-of-the-contract-test"


@dataclass(slots=True)
class Site:
    """One gateway process with a topic prefix of its own."""

    bootstrap: str
    redis_url: str
    directory: Path
    delivery_timeout_s: float = 10
    seal: bool = True
    prefix: str = field(default_factory=lambda: f"g{uuid.uuid4().hex[:10]}.")
    tenant: str = field(default_factory=lambda: uuid.uuid4().hex)
    mllp: int = field(default_factory=embedded.free_port)
    http: int = field(default_factory=embedded.free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.directory / "gateway.log"

    def start(self) -> None:
        admin.apply(Kafka(bootstrap=self.bootstrap, topic_prefix=self.prefix))
        self._install()
        (self.directory / "http.token").write_text(TOKEN)
        rows = {
            "KAFKA__BOOTSTRAP": self.bootstrap,
            "KAFKA__TOPIC_PREFIX": self.prefix,
            "KAFKA__DELIVERY_TIMEOUT_S": self.delivery_timeout_s,
            "REDIS__URL": self.redis_url,
            "DEID__TENANT": self.tenant,
            "SECRETS__MASTER_KEY_FILE": self.directory / "master.key",
            "GATEWAY__HTTP_TOKEN_FILE": self.directory / "http.token",
            "SECRETS__SEAL_PAYLOADS": self.seal,
            "GATEWAY__MLLP_PORT": self.mllp,
            "GATEWAY__HTTP_PORT": self.http,
        }
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from ops.cli import main; main()", "gateway"],
                cwd=ROOT,
                env={**os.environ, **{f"WARDSTREAM_{name}": str(value) for name, value in rows.items()}, "PYTHONPATH": str(ROOT)},
                stdout=sink,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        self.until(self.ready)

    def _settings(self) -> Settings:
        return Settings(
            redis=Redis(url=self.redis_url),
            secrets=Secrets(master_key_file=self.directory / "master.key"),
            deid=Deid(tenant=self.tenant),
        )

    def _install(self) -> None:
        key = self.directory / "master.key"
        if not key.exists():
            key.write_text(master_key())
            with ThreadPoolExecutor(1) as pool:  # some callers are on an event loop
                pool.submit(asyncio.run, make_keyring(self._settings())).result()

    def ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"http://127.0.0.1:{self.http}/readyz", timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    @staticmethod
    def until(condition: object, timeout_s: float = 30) -> None:
        assert callable(condition)
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)

    def post(self, content: object) -> httpx.Response:
        headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/fhir+json"}
        url = f"http://127.0.0.1:{self.http}/fhir"
        return httpx.post(url, content=json.dumps(content), headers=headers, timeout=30, trust_env=False)

    def stored(self) -> list[Message]:
        """Everything on the raw topic, read independently."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": uuid.uuid4().hex, "enable.auto.commit": False})
        topic = self.prefix + RECEIVED
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        messages: list[Message] = []
        quiet = time.monotonic() + 3
        while time.monotonic() < quiet:
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                messages.append(message)
                quiet = time.monotonic() + 1
        consumer.close()
        return messages

    async def in_clear(self, messages: list[Message]) -> list[bytes]:
        """What was posted: each value opened with its patient's key, as the next stage does."""
        seal = await open_seal(self._settings(), cache_s=60)
        found = []
        for message in messages:
            headers = dict(message.headers() or [])
            assert headers["payload-seal"] == b"a256gcm"
            found.append(await seal.unseal(message.key() or b"", headers["content-type"].decode(), message.value() or b""))
        await seal.close()
        return found


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
