"""The process ``wardstream serve``."""

from __future__ import annotations

from starlette.applications import Starlette

from agents.offline import Offline
from gateway.access import Tokens
from ops import serving
from ops.console.app import Annotator
from ops.explain import entity_tagger, flag_writer
from streams.settings import Settings


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT. Raises ConfigurationError: see ``ops.serving``; a bundle that does not verify."""

    def app(tokens: Tokens | None) -> Starlette:
        return Annotator(settings.api, Offline(settings), entity_tagger(settings), flag_writer(settings)).app(tokens)

    return serving.run("api", settings.api, settings.worker, app)
