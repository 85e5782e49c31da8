"""What an installation needs, looked at one by one. Each check says what it found and, when it is wrong, what to do."""

from __future__ import annotations

import asyncio
import importlib.metadata
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import redis as redis_client
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from models.bundle import load_manifest, shelf_bundle
from schemas.errors import ConfigurationError, WardstreamError
from streams import clients
from streams.key_encryption.file import MasterKeyFile
from streams.keyring import read_keyring
from streams.settings import Settings
from streams.topics import TOPICS, dead_letter

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """``advice`` is empty when there is nothing to do."""

    name: str
    state: State
    found: str
    advice: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """All checks in the order in which one would repair them."""
    checks: list[Callable[[Settings], Iterator[Finding]]] = [_python, _runtime, _bundles, _secrets, _kafka, _redis, _test_tools]
    for check in checks:
        yield from check(settings)


def _python(_: Settings) -> Iterator[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    good = sys.version_info >= (3, 11)
    yield Finding("python", "ok" if good else "fail", version, "" if good else "use Python 3.11 or newer")


def _runtime(settings: Settings) -> Iterator[Finding]:
    found = [name for name in ("onnxruntime", "onnxruntime-gpu") if _installed(name)]
    if len(found) == 2:
        yield Finding("onnx runtime", "fail", "both distributions", "uninstall both, then install one requirements file again")
        return
    if not found:
        yield Finding("onnx runtime", "fail", "missing", "run: make setup")
        return
    import onnxruntime

    providers = onnxruntime.get_available_providers()
    gpu = "CUDAExecutionProvider" in providers
    wanted = settings.models.execution == "gpu" and not gpu
    advice = "models.execution is gpu: install requirements/gpu.txt and the CUDA driver" if wanted else ""
    yield Finding("onnx runtime", "fail" if wanted else "ok", f"{found[0]} {onnxruntime.__version__}, {providers[0]}", advice)


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _bundles(settings: Settings) -> Iterator[Finding]:
    for name in (settings.models.phi, settings.models.entities):
        try:
            manifest = load_manifest(shelf_bundle(name, settings.models.shelf), trusted_keys=settings.models.trusted_keys)
        except WardstreamError as error:
            yield Finding(
                f"model {name}", "fail", str(error), "restore the bundle folder from the release; a changed file never loads"
            )
        else:
            yield Finding(f"model {name}", "ok", f"version {manifest.version}, digests verified")


def _secrets(settings: Settings) -> Iterator[Finding]:
    if settings.key_encryption.provider == "file":
        advice = "wardstream keys create FILE; then set secrets.master_key_file"
        yield _secret("master key", settings.secrets.master_key_file, advice, key=True)
    token = settings.gateway.http_token_file
    if settings.gateway.http_tls_client_ca_file is None or token is not None:
        yield _secret("http token", token, "wardstream keys token FILE; then set gateway.http_token_file", key=False)


def _keyring(settings: Settings) -> Finding:
    try:
        ring = asyncio.run(read_keyring(settings))
    except WardstreamError as error:
        return Finding("keyring", "fail", str(error), "new installation: wardstream keys init; else restore the store's backup")
    return Finding("keyring", "ok", f"generation {ring.primary} is written with")


def _secret(name: str, path: Path | None, advice: str, *, key: bool) -> Finding:
    if path is None or not path.is_file():
        return Finding(name, "fail", "no file" if path else "not set", advice)
    if path.stat().st_mode & 0o077:
        return Finding(name, "warn", "readable by others", f"chmod 600 {path}")
    if key:
        try:
            MasterKeyFile(path).wrap(bytes(32), b"")
        except ConfigurationError:
            return Finding(name, "fail", "not 32 bytes in base64", advice)
    return Finding(name, "ok", "present, private")


def _kafka(settings: Settings) -> Iterator[Finding]:
    try:
        admin = AdminClient(clients.librdkafka(settings.kafka, client_id="wardstream-doctor"))
        metadata = admin.list_topics(timeout=5)
    except (KafkaException, WardstreamError) as error:
        reason = str(error) if isinstance(error, WardstreamError) else "no answer within 5 s"
        yield Finding("kafka", "fail", reason, "check kafka.bootstrap and the kafka.* security settings")
        return
    yield Finding("kafka", "ok", f"{len(metadata.brokers)} broker(s)")
    wanted = {t.name for t in TOPICS} | {dead_letter(t.name) for t in TOPICS if t.dead_letters}
    missing = sorted(name for name in wanted if settings.kafka.topic_prefix + name not in metadata.topics)
    found = "all there" if not missing else f"{len(missing)} missing"
    yield Finding("topics", "fail" if missing else "ok", found, "run: wardstream topics apply" if missing else "")


def _redis(settings: Settings) -> Iterator[Finding]:
    password = settings.redis.password_file.read_text().strip() if settings.redis.password_file else None
    client = redis_client.Redis.from_url(settings.redis.url, password=password, socket_timeout=3, socket_connect_timeout=3)
    try:
        version = str(client.info("server").get("redis_version"))
        policy = str(client.config_get("maxmemory-policy").get("maxmemory-policy"))
        append = str(client.config_get("appendonly").get("appendonly"))
        written = str(client.config_get("appendfsync").get("appendfsync"))
    except redis_client.RedisError as error:
        yield Finding("redis", "fail", type(error).__name__, "check redis.url and its password file")
        return
    finally:
        client.close()
    yield Finding("redis", "ok", version)
    yield _keyring(settings)
    if policy != "noeviction":
        yield Finding("redis eviction", "fail", policy, "set maxmemory-policy noeviction: the vault must never be evicted")
    if append != "yes":
        yield Finding("redis persistence", "warn", "no append-only file", "set appendonly yes: the vault must survive a restart")
    elif written != "always":
        advice = "set appendfsync always: messages whose tokens and payload keys were lost with the last second cannot be read any more"
        yield Finding("redis persistence", "warn", f"appendfsync {written}", advice)


def _test_tools(_: Settings) -> Iterator[Finding]:
    missing = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    advice = "only for make test and BROKER=kafka: install Java 17 and Maven" if missing else ""
    yield Finding("java, maven", "warn" if missing else "ok", "missing: " + ", ".join(missing) if missing else "present", advice)
