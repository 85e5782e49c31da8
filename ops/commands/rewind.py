"""``wardstream rewind``: process a range again."""

from __future__ import annotations

import re

import click

from agents.pipeline import BY_STAGE
from ops.options import instant_of
from streams.faust_app import group_id
from streams.rewind import Target, apply, plan
from streams.settings import load

_OFFSET = re.compile(r"offset:(\d+)=(\d+)")


def target_of(text: str) -> Target:
    """``beginning``, an ISO 8601 instant with offset, or ``offset:PARTITION=OFFSET``."""
    if text == "beginning":
        return Target(beginning=True)
    match = _OFFSET.fullmatch(text)
    if match:
        return Target(offsets={int(match[1]): int(match[2])})
    try:
        return Target(instant=instant_of(text))
    except click.BadParameter as error:
        raise click.BadParameter(f"beginning, offset:PARTITION=OFFSET, or: {error.message}") from None


@click.command()
@click.argument("stage", type=click.Choice(list(BY_STAGE)))
@click.option("--to", "to", required=True, help="beginning, an ISO 8601 instant, or offset:PARTITION=OFFSET.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would change.")
def command(stage: str, to: str, yes: bool, dry_run: bool) -> None:
    """Set STAGE's committed offsets; its workers must be stopped. Results keep their ids, so that they are overwritten."""
    kafka = load().kafka
    group, topic = group_id(kafka, stage), BY_STAGE[stage].reads
    moves = plan(kafka, group, topic, target_of(to))
    if not moves:
        click.echo("nothing to change")
        return
    for move in moves:
        before = "none" if move.before is None else str(move.before)
        click.echo(f"{topic} partition {move.partition}: {before} -> {move.after}")
    if dry_run:
        return
    if not yes:
        click.confirm("Change these offsets?", abort=True)
    apply(kafka, group, topic, moves)
    click.echo("done; start the stage's workers again")
