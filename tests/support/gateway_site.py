"""A gateway process with a topic prefix of its own on a broker and a Redis, and an independent reader of what it stored."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from confluent_kafka import Consumer, Message, TopicPartition

from ops.stack import make_keyring
from streams import admin, embedded
from streams.key_encryption.file import master_key
from streams.sealing import open_seal
from streams.settings import Deid, Kafka, Redis, Secrets, Settings
from streams.topics import RECEIVED

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "token-of-the-contract-test"


@dataclass(slots=True)
class Site:
    """``gateway``: settings of that section beside the ports."""

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
    gateway: dict[str, object] = field(default_factory=dict)

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
        } | {f"GATEWAY__{name.upper()}": value for name, value in self.gateway.items()}
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
