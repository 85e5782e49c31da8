"""``/livez``, ``/readyz`` and ``/metrics`` of a worker, on a port of its own and outside its event loop."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from schemas.errors import ConfigurationError


@dataclass(slots=True)
class Health:
    """Written by the runner, read by the server's threads. Not ready: ``waiting`` names what is missing.

    ``notes``: what people should know of a worker that is ready all the same, by what it is about."""

    waiting: set[str] = field(default_factory=set)
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        return not self.waiting


class HealthServer:
    """Serves from a daemon thread between ``start`` and ``stop``; ``port`` is the real one."""

    def __init__(self, host: str, port: int, health: Health, registry: CollectorRegistry) -> None:
        """Raises ConfigurationError when the address cannot be bound."""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
                elif self.path == "/livez":
                    self._answer(200, "text/plain", b"ok\n")
                elif self.path == "/readyz":
                    missing = sorted(health.waiting)
                    lines = [f"waiting: {name}" for name in missing] or ["ok"]
                    lines += [f"{name}: {note}" for name, note in sorted(health.notes.copy().items())]
                    body = "".join(f"{line}\n" for line in lines).encode()
                    self._answer(503 if missing else 200, "text/plain", body)
                else:
                    self._answer(404, "text/plain", b"")

            def _answer(self, status: int, content_type: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
                return

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError:
            raise ConfigurationError(path="worker.metrics_port", detail="the address is not free") from None
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
