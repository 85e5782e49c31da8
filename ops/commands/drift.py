"""``wardstream drift``: whether messages still look as they did, by sender and department; what reviewers and clinicians say of the results."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from agents.feedback import drift
from agents.feedback.vocabulary import known_words
from agents.feedback.watch_store import open_store
from ops.cli import EXIT_FAILED
from ops.drift.page import page
from ops.drift.report import Report, decisions, make_report
from ops.drift.tables import tables
from schemas.errors import ConfigurationError
from streams import topics
from streams.settings import load

_SINCE = click.option(
    "--since",
    type=click.DateTime(),
    default=None,
    help="Records stored at this time (UTC) or later; default: all that are kept.",
)


@click.group()
def command() -> None:
    """Drift by sender and department, calibration against reviewed labels, overrides by flag: a baseline, a report, a new beginning."""


@command.command()
@_SINCE
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write. Numbers alone, no text."
)
def baseline(since: datetime | None, out: Path) -> None:
    """Write the baseline of deid.flag.raised.v1 as it stands: for the report, and for the stage watch (watch.baseline)."""
    settings = load()
    found = drift.make_baseline(
        decisions(settings, _utc(since)), datetime.now(UTC).isoformat(timespec="seconds"), known_words(settings.models)
    )
    if not found.rows:
        raise ConfigurationError(path=topics.RAISED, detail="no decision on a message with a note")
    out.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1))
    count = sum(row.messages for row in found.rows if not row.group.department)
    click.echo(f"{count} messages, {len(found.rows)} groups (sender, department, kind, model)")


@command.command()
@click.option(
    "--baseline",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Compare the newest messages with this file instead of showing what the stage watch has counted.",
)
@_SINCE
@click.option(
    "--window",
    type=click.IntRange(drift.FEWEST),
    default=500,
    show_default=True,
    help="With --baseline: the last so many messages of each group.",
)
@click.option("--json", "as_json", is_flag=True, help="The whole report as one JSON object.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write it as a page, too.")
def report(file: Path | None, since: datetime | None, window: int, as_json: bool, html: Path | None) -> None:
    """Drift, alarms, calibration, overrides. Exit 1 when a feature has shifted."""
    made = make_report(load(), baseline=drift.read_baseline(file) if file else None, since=_utc(since), window=window)
    if html is not None:
        html.write_text(page(made), encoding="utf-8")
    if as_json:
        click.echo(msgspec.json.encode(made).decode())
    else:
        _print(made)
    if made.alarms:
        sys.exit(EXIT_FAILED)


@command.command()
@click.argument("sender")
@click.option("--department", help="Only this department's; default: all of the sender's groups.")
@click.option("--kind", help="Only messages of this kind (ORU^R01).")
@click.option("--yes", is_flag=True, help="Do it; without it only what would be forgotten is shown.")
def forget(sender: str, department: str | None, kind: str | None, yes: bool) -> None:
    """Take what SENDER (its pseudonym) sends now as the new normal: its next messages are the baseline."""

    async def run() -> int:
        redis, store = open_store(load())
        try:
            chosen = [
                group
                for group, _ in await store.groups()
                if group.sender == sender and department in (None, group.department) and kind in (None, group.kind)
            ]
            for group in chosen if yes else ():
                await store.forget(group)
            return len(chosen)
        finally:
            await redis.aclose()

    count = asyncio.run(run())
    click.echo(f"{'forgotten' if yes else 'would forget'}: {count} groups")
    if not count:
        sys.exit(EXIT_FAILED)


def _utc(since: datetime | None) -> datetime | None:
    return since.replace(tzinfo=UTC) if since is not None else None


def _print(made: Report) -> None:
    console = Console(width=None if Console().is_terminal else 160)
    if not made.groups:
        click.echo("nothing is watched yet: no message with a note since the stage watch runs")
    for part in tables(made):
        if part.rows:
            table = Table(*part.columns, title=part.title, title_justify="left")
            for row in part.rows:
                table.add_row(*row)
            console.print(table)
