"""docker-compose.yml, the Dockerfile and prometheus.yml against the code that they start. No container engine is needed."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from click.testing import CliRunner

from agents.pipeline import BY_STAGE, PIPELINE
from gateway import access
from ops.cli import cli
from streams import embedded, topics
from streams.embedded import free_port
from streams.health import Health, HealthServer
from streams.metrics import StreamMetrics
from streams.settings import Settings, load

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCUMENT: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
SERVICES: dict[str, Any] = DOCUMENT["services"]
OURS = {name: service for name, service in SERVICES.items() if service.get("image", "").startswith("wardstream:")}
WORKERS = {name: service for name, service in OURS.items() if service["command"][0] == "worker"}
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def _filled(text: str) -> str:
    """As compose does with nothing set: defaults in, ``$$`` to ``$``."""
    return VARIABLE.sub(lambda match: match[2] or "", text).replace("$$", "$")


@pytest.mark.parametrize("name", sorted(OURS))
def test_settings_of_a_service_are_settings_that_exist(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every WARDSTREAM_* variable names a setting, and the settings load with what compose gives."""
    for variable, value in OURS[name]["environment"].items():
        section, _, field = variable.removeprefix("WARDSTREAM_").lower().partition("__")
        assert section in Settings.model_fields, variable
        model: Any = Settings.model_fields[section].annotation
        assert field in model.model_fields, variable
        monkeypatch.setenv(variable, _filled(value))
    settings = load()
    assert settings.kafka.bootstrap.split(":")[0] in SERVICES
    assert settings.worker.metrics_host == "0.0.0.0"


@pytest.mark.parametrize("name", sorted(OURS))
def test_commands_exist(name: str) -> None:
    """What a service runs is a command of the program, with arguments that it takes."""
    words = OURS[name]["command"]
    result = CliRunner().invoke(cli, [*words, "--help"])
    assert result.exit_code == 0, result.output


def test_every_stage_has_a_service_of_its_name() -> None:
    """One service a stage, each running the stage of its own name."""
    assert {name: service["command"][1:] for name, service in WORKERS.items()} == {stage: [stage] for stage in BY_STAGE}


def test_only_the_sender_to_the_ehr_waits_for_a_profile_of_its_own() -> None:
    """core starts everything that works without further settings; deliver needs a receiver."""
    profiles = {name: service["profiles"] for name, service in SERVICES.items()}
    assert {name for name, wanted in profiles.items() if wanted == ["deliver"]} == {"deliver"}
    assert {name for name, wanted in profiles.items() if wanted == ["deliver_fhir"]} == {"deliver_fhir"}
    assert {name for name, wanted in profiles.items() if wanted == ["cds"]} == {"cards", "merge_cards", "cds", "feedback_cards"}
    assert {name for name, wanted in profiles.items() if wanted == ["notify"]} == {"notify", "notify_results"}
    assert {name for name, wanted in profiles.items() if wanted == ["mon"]} == {"prometheus", "grafana"}
    assert profiles["review"] == ["review"]
    assert all(
        wanted == ["core"]
        for name, wanted in profiles.items()
        if name
        not in {
            "deliver",
            "deliver_fhir",
            "cards",
            "feedback_cards",
            "merge_cards",
            "cds",
            "notify",
            "notify_results",
            "keyring",
            "prometheus",
            "grafana",
            "review",
        }
    )
    assert profiles["keyring"] == ["setup"]  # a person runs it, once
    for name, service in SERVICES.items():
        for needed in service.get("depends_on", {}):
            assert profiles[needed] in (["core"], profiles[name])


def test_secrets_are_declared_given_and_made_by_the_commands_in_the_head() -> None:
    """A path under /run/secrets is a secret of that service, and the first lines of the file say how it is made."""
    declared = {name: Path(secret["file"]) for name, secret in DOCUMENT["secrets"].items()}
    for name, service in SERVICES.items():
        text = yaml.safe_dump(service)
        assert set(re.findall(r"/run/secrets/(\w+)", text)) <= set(service.get("secrets", [])) <= set(declared), name
    made = set(re.findall(r"(?:wardstream keys \w+ |_FILE=)(\S+)", COMPOSE.read_text()))
    assert made == {str(path) for path in declared.values()}


def test_mounted_files_exist_and_are_read_only() -> None:
    """Every bind mount has its file in the repository; every other mount is a declared volume."""
    for name, service in SERVICES.items():
        for mount in service.get("volumes", []):
            source, _, *mode = mount.split(":")
            if source.startswith("."):
                assert (ROOT / source).exists(), (name, source)
                assert mode == ["ro"]
            else:
                assert source in DOCUMENT["volumes"]


def test_images_are_pinned_and_ours_is_of_this_version() -> None:
    """No floating tag: at least major.minor, and the version of pyproject.toml for our own."""
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    for service in SERVICES.values():
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), service["image"]
    assert {service["image"] for service in OURS.values()} == {f"wardstream:{version[1]}"}
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    assert all(
        re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", image) for image in re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    )


def test_our_containers_can_do_nothing_but_run() -> None:
    """No capability, no new privilege, a read-only root, no root user, doors on the loopback interface only."""
    for name, service in OURS.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"] is True
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not _filled(service["user"]).startswith(("0", "root"))
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_faust_starts_where_it_may_write() -> None:
    """Faust makes a directory in the working directory, which must be the writable one."""
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    (directory,) = re.findall(r"^WORKDIR (\S+)", dockerfile.rpartition("\nFROM ")[2], re.MULTILINE)
    assert all(directory in service["tmpfs"] for service in OURS.values())


def _probe(service: dict[str, Any], port: int, other: int) -> int:
    words = service["healthcheck"]["test"]
    assert words[:3] == ["CMD", "python", "-c"]
    code = words[3].replace(f":{port}/", f":{other}/")
    assert code != words[3], "the healthcheck asks another port than the settings open"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=20).returncode


def test_worker_healthcheck_follows_readiness() -> None:
    """The very probe of compose fails while the worker waits and passes when it is ready."""
    health = Health({"assignment"})
    server = HealthServer("127.0.0.1", 0, health, StreamMetrics().registry)
    server.start()
    try:
        service = WORKERS["extract"]
        port = int(service["environment"]["WARDSTREAM_WORKER__METRICS_PORT"])
        assert _probe(service, port, server.port) != 0
        health.waiting.clear()
        assert _probe(service, port, server.port) == 0
    finally:
        server.stop()


def test_gateway_ports_and_paths_are_the_real_ones() -> None:
    """Published ports are the settings' defaults, and the probe and the scrape need no token."""
    service, own = OURS["gateway"], Settings().gateway
    assert {port.rsplit(":", 1)[1] for port in service["ports"]} == {str(own.mllp_port), str(own.http_port)}
    assert f":{own.http_port}/readyz" in service["healthcheck"]["test"][3]
    assert {"/readyz", "/metrics"} <= access.PUBLIC


def test_kafka_writes_into_its_volume() -> None:
    """What was acknowledged outlives the container; topics are made by the table only."""
    kafka = SERVICES["kafka"]
    assert kafka["environment"]["KAFKA_LOG_DIRS"] in [mount.split(":")[1] for mount in kafka["volumes"]]
    assert kafka["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


@pytest.fixture
def compose_redis(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """The redis service's own shell command on this machine, on a port and a secret file of its own."""
    secret = tmp_path / "redis_password"
    secret.write_text("a-password-of-the-test\n")
    entrypoint = tmp_path / "docker-entrypoint.sh"
    entrypoint.write_text(f'#!/bin/sh\nshift\nexec {embedded.redis_program()} "$@"\n')
    entrypoint.chmod(0o755)
    shell, flag, script = SERVICES["redis"]["command"]
    port = free_port()
    script = _filled(script).replace("/run/secrets/redis_password", str(secret))
    script = script.replace("redis-server -", f"redis-server - --port {port} --bind 127.0.0.1 --dir {tmp_path}", 1)
    script = script.replace("docker-entrypoint.sh", str(entrypoint))
    process = subprocess.Popen([shell, flag, script], stdout=subprocess.DEVNULL)
    yield port, secret
    process.terminate()
    process.wait(10)


def test_redis_wants_the_password_and_keeps_what_it_was_told(compose_redis: tuple[int, Path]) -> None:
    """Without the password nothing is answered; with it the store is durable and never evicts."""
    port, secret = compose_redis
    client = redis.Redis(port=port, password=secret.read_text().strip())
    deadline = time.monotonic() + 10
    while True:
        try:
            client.ping()
            break
        except redis.ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=port).ping()
    wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
    assert {name: client.config_get(name)[name] for name in wanted} == wanted


def test_the_image_can_be_built_from_what_the_context_holds() -> None:
    """Both runtimes have a hash-pinned lock that brings the build backend, and exactly one ONNX Runtime."""
    ignored = (ROOT / ".dockerignore").read_text().split()
    for folder in ("schemas", "streams", "models", "agents", "gateway", "training", "ops", "README.md", "NOTICE", "requirements"):
        assert folder not in ignored
        assert (ROOT / folder).exists()
    assert {".git", "var", ".venv"} <= set(ignored)
    for runtime, distribution in (("cpu", "onnxruntime"), ("gpu", "onnxruntime-gpu")):
        text = (ROOT / "requirements" / f"{runtime}.txt").read_text()
        names = re.findall(r"^([a-z0-9._-]+)==", text, re.MULTILINE)
        assert {name for name in names if name in {"onnxruntime", "onnxruntime-gpu"}} == {distribution}
        assert "hatchling" in names
        assert text.count("--hash=sha256:") >= len(names)


def test_prometheus_asks_every_process_of_ours() -> None:
    """Targets are services of compose on the ports that they open, and the rule file is mounted beside the configuration."""
    document = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in document["scrape_configs"]}
    assert jobs["gateway"]["static_configs"] == [{"targets": [f"gateway:{Settings().gateway.http_port}"]}]
    (workers,) = jobs["workers"]["dns_sd_configs"]
    assert set(workers["names"]) == set(WORKERS)
    assert all(str(workers["port"]) == s["environment"]["WARDSTREAM_WORKER__METRICS_PORT"] for s in WORKERS.values())
    (review,) = jobs["review"]["dns_sd_configs"]
    assert review["names"] == ["review"]
    assert str(review["port"]) == SERVICES["review"]["environment"]["WARDSTREAM_WORKER__METRICS_PORT"]
    mounts = {Path(mount.split(":")[1]) for mount in SERVICES["prometheus"]["volumes"]}
    assert {Path("/etc/prometheus") / rule for rule in document["rule_files"]} <= mounts


def test_the_access_list_of_the_page_is_the_pipeline() -> None:
    """docs/how-to/deploy.md grants each principal what its row of the pipeline needs, and no more."""
    page = (ROOT / "docs/how-to/deploy.md").read_text()
    rows = re.findall(r"^\| (\w+) \| (-|`phi\..*?`|`deid\..*?`|`train\..*?`) \| (`.*`) \|$", page, re.MULTILINE)
    granted = {
        name: (set(re.findall(r"`([^`]+)`", reads)), set(re.findall(r"`([^`]+)`", writes))) for name, reads, writes in rows
    }
    wanted = {row.stage: ({row.reads}, {*row.writes, topics.dead_letter(row.reads)}) for row in PIPELINE}
    assert granted == {"gateway": (set(), {topics.RECEIVED}), **wanted}


def test_the_master_key_goes_where_tokens_are_made_or_resolved() -> None:
    """Only what makes the keyring, the doors (record and card keys), deidentify, publish, cards and merge_cards hold the key-encryption key."""
    assert {name for name, service in SERVICES.items() if "master_key" in service.get("secrets", [])} == {
        "gateway", "deidentify", "publish", "keyring", "cards", "merge_cards", "cds",
    }  # fmt: skip
