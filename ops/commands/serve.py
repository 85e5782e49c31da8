"""``wardstream serve``: annotation and explanation over HTTP."""

from __future__ import annotations

import sys

import click

from streams.settings import load


@click.command()
def command() -> None:
    """Answer with findings, flags and explanations for one message a request until SIGTERM (settings: section api).

    Needs neither Kafka nor Redis. Beyond loopback it needs a token file and TLS.
    """
    from ops.console.server import run

    sys.exit(run(load()))
