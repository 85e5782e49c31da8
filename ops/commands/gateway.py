"""``wardstream gateway``: MLLP and FHIR HTTP in one process."""

from __future__ import annotations

import sys

import click

from streams.settings import load


@click.command()
def command() -> None:
    """Run the doors until SIGTERM; acknowledgements in flight are answered before it ends."""
    from gateway.server import run

    sys.exit(run(load()))
