"""A worker that died leaves its group at once, instead of when its session ends: whoever knows that it is dead says so to the broker.

A member's client id names stage, host and process. The supervisor knows that its child has ended; a worker that starts in a restarted container
finds its predecessor under its own name. A process that hangs, or a host that is gone, is noticed by the session timeout alone.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import DescribeGroupsRequest
from aiokafka.protocol.group import LeaveGroupRequest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from schemas.errors import BrokerUnavailable
from streams import clients
from streams.settings import Kafka

_TIMEOUT_S = 5.0


def member_name(group: str, pid: int | None = None) -> str:
    """Client id of a worker of ``group`` on this host; of this process without ``pid``."""
    return f"{group}@{socket.gethostname()}:{pid or os.getpid()}"


async def expel(kafka: Kafka, group: str, name: str) -> int:
    """Take every member with this client id out of the group; its partitions move with the next heartbeat of the others. Returns how many there were.

    Needs READ on the group, which its workers have.

    Raises:
        BrokerUnavailable: nobody could be asked in time.
        ConfigurationError: the security files cannot be read.
    """
    client = AIOKafkaClient(
        bootstrap_servers=kafka.bootstrap,
        client_id="wardstream-membership",
        request_timeout_ms=int(_TIMEOUT_S * 1000),
        **credentials_to_aiokafka_auth(clients.faust_credentials(kafka), None),
    )
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            await client.bootstrap()
            node = await client.coordinator_lookup(CoordinationType.GROUP, group)
            await client.force_metadata_update()
            found = await client.send(node, DescribeGroupsRequest([group]), group=ConnectionGroup.COORDINATION)
            dead = [member[0] for member in _members(found) if member[1] == name]
            for member in dead:
                await client.send(node, LeaveGroupRequest(group, member), group=ConnectionGroup.COORDINATION)
    except (KafkaError, TimeoutError, OSError):
        raise BrokerUnavailable(path="kafka.bootstrap") from None
    finally:
        await client.close()
    return len(dead)


def _members(answer: Any) -> list[tuple[Any, ...]]:
    """Rows of (member id, client id, ...) of the one group that was asked for."""
    (group,) = answer.groups
    rows: list[tuple[Any, ...]] = group[5]
    return rows
