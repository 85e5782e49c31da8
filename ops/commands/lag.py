"""``wardstream lag``: how far behind each stage is, from the broker's own offsets; the workers are not asked."""

from __future__ import annotations

import json
import time

import click
from rich.console import Console
from rich.table import Table

from agents.pipeline import BY_STAGE, PIPELINE
from streams.settings import load


@click.command()
@click.argument("stages", nargs=-1, type=click.Choice(list(BY_STAGE)))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a partition, one a line.")
@click.option("--ages/--no-ages", default=True, show_default=True, help="Also ask how old the first unread record is.")
def command(stages: tuple[str, ...], as_json: bool, ages: bool) -> None:
    """Partition, committed and end offset, lag in records and in seconds of STAGES (default: all).

    Needs no more than Describe on topics and groups: no record is read. A stage that never ran has committed nothing.
    """
    from streams import admin, lag_age
    from streams.faust_app import group_id

    kafka = load().kafka
    chosen = [row for row in PIPELINE if not stages or row.stage in stages]
    names = {group_id(kafka, row.stage): row.stage for row in chosen}
    rows = admin.lag(kafka, [(row.stage, row.reads) for row in chosen])
    seconds = lag_age.oldest(kafka, rows, now=time.time()) if ages else {}
    found = [
        {
            "stage": names[row.group],
            "topic": row.topic,
            "partition": row.partition,
            "committed": row.committed,
            "end": row.end,
            "lag": row.records,
            "oldest_s": round(seconds[row.group, row.partition], 1) if (row.group, row.partition) in seconds else None,
        }
        for row in rows
    ]
    found.sort(key=lambda row: (list(BY_STAGE).index(str(row["stage"])), row["partition"]))
    if as_json:
        for row in found:
            click.echo(json.dumps(row))
        return
    missing = [row.stage for row in chosen if row.stage not in {line["stage"] for line in found}]
    table = Table("stage", "topic")
    for name in ("partition", "committed", "end", "lag", "oldest"):
        table.add_column(name, justify="right")
    for line in found:
        oldest = line["oldest_s"]
        cells = ("stage", "topic", "partition", "committed", "end", "lag")
        texts = ["-" if line[cell] is None else str(line[cell]) for cell in cells]
        table.add_row(*texts, "" if oldest is None else f"{oldest} s", style="yellow" if line["lag"] else None)
    Console().print(table)
    if missing:
        click.echo(f"no topic yet for: {', '.join(missing)} (wardstream topics apply)", err=True)
