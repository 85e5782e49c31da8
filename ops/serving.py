"""What every HTTP server that people reach has in common: who may reach it, where it listens, how it stops."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog
from starlette.applications import Starlette

from gateway.access import Tokens
from gateway.listener import HttpListener, run_until_stopped
from gateway.tls import server_context
from schemas.errors import ConfigurationError
from streams.settings import Worker

#: How long requests in flight may take once the process is asked to stop.
PATIENCE_S = 30.0
_log = structlog.get_logger("serving")


class Address(Protocol):
    """A section of settings with these fields."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def token_file(self) -> Path | None: ...
    @property
    def tls_certificate_file(self) -> Path | None: ...
    @property
    def tls_key_file(self) -> Path | None: ...


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``; of names, ``localhost`` alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def tokens_of(section: str, address: Address) -> Tokens | None:
    """The tokens that the server asks for; ``None`` for none, which is only allowed on loopback.

    Raises:
        ConfigurationError: beyond loopback without a token file or without TLS; a token file that cannot be used.
    """
    if not is_loopback(address.host):
        if address.token_file is None:
            raise ConfigurationError(path=f"{section}.token_file", detail="is needed to listen beyond loopback")
        if address.tls_certificate_file is None:
            raise ConfigurationError(path=f"{section}.tls_certificate_file", detail="is needed to listen beyond loopback")
    return None if address.token_file is None else Tokens.load(address.token_file, f"{section}.token_file")


def run(section: str, address: Address, worker: Worker, make_app: Callable[[Tokens | None], Starlette]) -> int:
    """Serve until SIGTERM or SIGINT, logging as ``worker`` says; 0 after a graceful stop. Logs the port once it listens.

    Raises:
        ConfigurationError: as ``tokens_of``; unusable TLS files; the address cannot be taken.
    """
    tokens = tokens_of(section, address)
    tls = server_context(f"{section}.tls", address.tls_certificate_file, address.tls_key_file, None)
    app = make_app(tokens)

    async def serve(stop: asyncio.Event) -> None:
        listener = HttpListener(app, tls, patience_s=PATIENCE_S)
        try:
            port = await listener.start(address.host, address.port)
        except OSError:
            raise ConfigurationError(path=f"{section}.port", detail="the address cannot be taken") from None
        _log.info("listening", host=address.host, port=port, detail=section)
        await stop.wait()
        await listener.stop()

    return run_until_stopped(worker, serve)
