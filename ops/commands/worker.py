"""``wardstream worker``: any set of stages; one stage runs in this process, several in one supervised process each."""

from __future__ import annotations

import sys

import click

from agents.pipeline import BY_STAGE
from agents.publish import subscriptions
from streams.settings import Settings, load


def _not_subscribed(settings: Settings) -> set[str]:
    """Stages that nobody subscribes to. Raises ConfigurationError when the file is wrong."""
    path = settings.subscriptions.file
    wanted = set() if path is None else {one.results for one in subscriptions.load(path)}
    return {stage for stage, results in {"notify": "deid", "notify_results": "released"}.items() if results not in wanted}


@click.command()
@click.argument("stages", nargs=-1, type=click.Choice(list(BY_STAGE)))
def command(stages: tuple[str, ...]) -> None:
    """Run STAGES (default: all that can run with these settings)."""
    from agents.worker import run, supervise

    settings = load()
    idle = {"deliver"} if settings.publish.receiver is None else set()
    idle |= {"deliver_fhir"} if settings.fhir_server.base_url is None else set()
    idle |= set() if settings.cds.enabled else {"cards", "merge_cards", "feedback_cards"}
    idle |= _not_subscribed(settings)
    chosen = stages or tuple(name for name in BY_STAGE if name not in idle)
    if len(chosen) == 1:
        sys.exit(run(chosen[0], settings))
    sys.exit(supervise(chosen, settings))
