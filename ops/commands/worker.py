"""``wardstream worker``: any set of stages; one stage runs in this process, several in one supervised process each."""

from __future__ import annotations

import sys

import click

from agents.pipeline import BY_STAGE
from streams.settings import load


@click.command()
@click.argument("stages", nargs=-1, type=click.Choice(list(BY_STAGE)))
def command(stages: tuple[str, ...]) -> None:
    """Run STAGES (default: all that can run with these settings)."""
    from agents.worker import run, supervise

    settings = load()
    idle = {"deliver"} if settings.publish.receiver is None else set()
    idle |= {"deliver_fhir"} if settings.fhir_server.base_url is None else set()
    idle |= set() if settings.cds.enabled else {"cards"}
    chosen = stages or tuple(name for name in BY_STAGE if name not in idle)
    if len(chosen) == 1:
        sys.exit(run(chosen[0], settings))
    sys.exit(supervise(chosen, settings))
