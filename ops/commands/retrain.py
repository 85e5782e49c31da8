"""``wardstream retrain``: train anew when there is a reason, in processes of its own."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from ops.audited import Act
from ops.loop.releasing import serving
from ops.loop.retraining import forget_erased, labels_of, retrain, runs_of, since_last, teaching
from ops.operators import named
from schemas.errors import ConfigurationError, WardstreamError
from schemas.runs import Trigger
from streams.producer import Producer
from streams.settings import Settings, load
from training.data.exports import reviewed_labels
from training.triggers import Policy, due

_LOOK_S = 60.0


@click.command()
@click.option("--now", is_flag=True, help="Begin a run whatever the policy says.")
@click.option(
    "--watch", is_flag=True, help="Look every minute until Ctrl-C; a run that fails is reported, and waits for the next reason."
)
@click.option(
    "--labels",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Reviewed labels, one JSON record a line; default: those of train.label.reviewed.v1.",
)
@click.option("--json", "as_json", is_flag=True, help="The run's record as JSON.")
@click.option("--agent", help="Who begins it, where several people share this account.")
def command(now: bool, watch: bool, labels: Path | None, as_json: bool, agent: str | None) -> None:
    """Look whether a run is due (settings: retrain) and make a challenger: train, export, quantize, evaluate, sign.

    Each step is a process of the training environment (retrain.python); runs, parameters, curves and scores go into MLflow tracking, the run's
    records to train.run.recorded.v1. The challenger then goes to wardstream challenge. Exit 1: a step failed.
    """
    settings = load()
    while True:
        try:
            _look(settings, labels, now=now, as_json=as_json, agent=agent)
        except WardstreamError as error:
            if not watch or isinstance(error, ConfigurationError):
                raise
            click.echo(f"wardstream: {error}", err=True)
        if not watch:
            return
        now = False
        time.sleep(_LOOK_S)


def _look(settings: Settings, path: Path | None, *, now: bool, as_json: bool, agent: str | None) -> None:
    chosen = settings.retrain
    standing = [label for _, label in reviewed_labels(path)] if path else labels_of(settings.kafka)
    if path is None and (gone := forget_erased(chosen.folder, standing)):
        click.echo(f"{gone} erased labels taken out of earlier runs", err=True)
    labels, aside = teaching(settings.review, standing)
    if aside:
        click.echo("labels put aside: " + ", ".join(f"{number} {reason}" for reason, number in sorted(aside.items())), err=True)
    runs = runs_of(settings.kafka, chosen.model)
    since = since_last(settings.kafka, runs, labels)
    at = datetime.now(UTC)
    trigger: Trigger | None = "command" if now else due(Policy(chosen.labels, chosen.days, chosen.drift), since, at)
    if trigger is None:
        click.echo(f"no run is due: {since.labels} labels since the last one", err=True)
        return
    act = Act(str(uuid.uuid4()), named(agent), "HOPERAT", at)
    click.echo(f"run {act.id}: {trigger}, {since.labels} labels since the last one", err=True)

    async def go() -> None:
        log = Producer(settings.kafka, client_id="wardstream-retrain")
        try:
            run, folder = await retrain(
                log,
                chosen,
                trigger,
                labels,
                serving(settings, chosen.model),
                runs,
                act,
                lambda: datetime.now(UTC),
                lambda step: click.echo(f"  {step}", err=True),
                "topic" if path is None else "file",
                settings.labels.store,
            )
        finally:
            await log.close()
        if as_json:
            click.echo(json.dumps(msgspec.to_builtins(run) | {"folder": str(folder)}, indent=1))
        else:
            assert run.challenger is not None
            click.echo(
                f"challenger {run.challenger.version} {run.challenger.digest[:12]}: {folder / 'shelf' / run.model / run.challenger.version}"
            )

    asyncio.run(go())
