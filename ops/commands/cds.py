"""``wardstream cds``: the CDS Hooks door."""

from __future__ import annotations

import sys

import click

from streams.settings import load


@click.command()
def command() -> None:
    """Answer CDS Hooks 2.0 with cards that the stage `cards` has put into the store, and judge draft orders (settings: section cds)."""
    from agents.order_check import make_checker
    from gateway.cds.server import run

    settings = load()
    sys.exit(run(settings, make_checker(settings).check))
