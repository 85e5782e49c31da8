"""``wardstream trace``: one message's way through the stages."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import click
from rich.console import Console
from rich.table import Table

from ops.trace import steps, topics_of_the_way
from streams.record import Record
from streams.settings import Kafka, load
from streams.tail import tail


@click.command()
@click.argument("message")
@click.option("--hours", type=click.FloatRange(min=0), default=24.0, show_default=True, help="How far back to look.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a record, one a line.")
def command(message: str, hours: float, as_json: bool) -> None:
    """Records of MESSAGE on every topic: its id (ce_origin), or the id or place (TOPIC/PARTITION/OFFSET) of one of them.

    Reads headers of the topics that this account may read; values are not looked at. Exit 1: no record of it.
    """
    found = steps(_headers(load().kafka, datetime.now(UTC) - timedelta(hours=hours)), message)
    if as_json:
        for step in found:
            click.echo(json.dumps(dataclasses.asdict(step)))
    else:
        table = Table("topic", "record", "after", "outcome", "versions")
        for step in found:
            versions = "\n".join(part for part in (step.policy, step.model) if part)
            after = "" if step.after_ms is None else f"{step.after_ms} ms"
            outcome = f"{step.outcome} {step.field}".strip()
            table.add_row(
                step.topic,
                step.place.partition("/")[2],
                after,
                outcome,
                versions,
                style=None if step.outcome == "stored" else "red",
            )
        Console(width=None if Console().is_terminal else 200).print(table)
    if not found:
        raise click.ClickException("no record of this message in that time")


def _headers(kafka: Kafka, since: datetime) -> Iterator[Record]:
    for record in tail(kafka, topics_of_the_way(), to_end=True, since=since):
        yield Record(record.topic, record.partition, record.offset, record.timestamp, None, None, record.headers)
