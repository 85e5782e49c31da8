"""Connection settings of the two Kafka clients, from the one settings tree. TLS and SASL work alike for both.

librdkafka names: https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import faust
from confluent_kafka import KafkaError, KafkaException

from schemas.errors import ConfigurationError
from streams.settings import Kafka

Config = dict[str, Any]
T = TypeVar("T")

#: What a broker says of a partition or group whose leader is new or moves: the same question has an answer a moment later.
_SETTLING = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    }
)
_SETTLED_S = 10.0
_PAUSE_S = 0.2


def librdkafka(kafka: Kafka, *, client_id: str) -> Config:
    """Base configuration of every confluent-kafka client.

    Raises:
        ConfigurationError: a file that the settings name cannot be read, or SASL is asked for without a user.
    """
    config: Config = {
        "bootstrap.servers": kafka.bootstrap,
        "client.id": client_id,
        "security.protocol": kafka.security_protocol,
        "log.connection.close": False,
        "topic.metadata.propagation.max.ms": 30_000,
    }
    if kafka.security_protocol != "PLAINTEXT":
        files = (
            ("ssl.ca.location", kafka.ca_file),
            ("ssl.certificate.location", kafka.certificate_file),
            ("ssl.key.location", kafka.key_file),
        )
        config |= {name: str(path) for name, path in files if path is not None}
    if kafka.security_protocol == "SASL_SSL":
        user, password = _sasl(kafka)
        config |= {"sasl.mechanism": kafka.sasl_mechanism, "sasl.username": user, "sasl.password": password}
    return config


def answered(ask: Callable[[], T], *, timeout_s: float = _SETTLED_S) -> T:
    """What ``ask`` returns, asked again for ``timeout_s`` seconds while a partition or group is between two leaders.

    Raises:
        KafkaException: any other error at once, this one when the time is over.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in _SETTLING or time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE_S)


def faust_credentials(kafka: Kafka) -> faust.types.auth.CredentialsT | None:
    """The same security settings as Faust (aiokafka) wants them; ``None`` for a plaintext listener.

    Raises:
        ConfigurationError: as ``librdkafka``.
    """
    if kafka.security_protocol == "PLAINTEXT":
        return None
    try:
        context = ssl.create_default_context(cafile=str(kafka.ca_file) if kafka.ca_file else None)
        if kafka.certificate_file is not None:
            context.load_cert_chain(str(kafka.certificate_file), str(kafka.key_file) if kafka.key_file else None)
    except (OSError, ssl.SSLError):
        raise ConfigurationError(path="kafka.ca_file", detail="certificate files cannot be loaded") from None
    if kafka.security_protocol == "SSL":
        return faust.SSLCredentials(context)
    user, password = _sasl(kafka)
    return faust.SASLCredentials(username=user, password=password, mechanism=kafka.sasl_mechanism, ssl_context=context)


def _sasl(kafka: Kafka) -> tuple[str, str]:
    if not kafka.sasl_username or kafka.sasl_password_file is None:
        raise ConfigurationError(path="kafka.sasl_username", detail="SASL needs a user and a password file")
    return kafka.sasl_username, read_secret(kafka.sasl_password_file, "kafka.sasl_password_file")


def read_secret(path: Path, setting: str) -> str:
    """First line of a secret file. Raises ConfigurationError naming the setting."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(path=setting, detail="the file cannot be read") from None
