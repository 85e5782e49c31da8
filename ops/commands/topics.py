"""``wardstream topics``: the topic table against the cluster."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from streams.settings import load
from streams.topics import TOPICS


@click.group()
def command() -> None:
    """Plan, create and list the topics."""


@command.command()
def plan() -> None:
    """Show what apply would create or change; changes nothing."""
    from streams.admin import plan as plan_topics

    for change in plan_topics(load().kafka):
        click.echo(str(change))


@command.command()
def apply() -> None:
    """Create the topics that are missing."""
    from streams.admin import apply as apply_topics

    for change in apply_topics(load().kafka):
        click.echo(str(change))


@command.command("list")
def list_() -> None:
    """Print the topic table."""
    table = Table("topic", "class", "key", "retention", "what")
    for topic in TOPICS:
        days = "for ever" if topic.retention_ms < 0 else f"{topic.retention_ms // 86_400_000} d"
        table.add_row(topic.name, topic.data_class.value, topic.key, days, topic.summary)
    Console(width=150).print(table)
