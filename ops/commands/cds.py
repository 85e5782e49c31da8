"""``wardstream cds``: the CDS Hooks door."""

from __future__ import annotations

import sys

import click

from streams.settings import load


@click.command()
def command() -> None:
    """Answer CDS Hooks 2.0 with cards that the stage `cards` has put into the store (settings: section cds)."""
    from gateway.cds_server import run

    sys.exit(run(load()))
