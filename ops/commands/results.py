"""``wardstream results``: follow what the stream publishes, de-identified unless the settings' principal may read more."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click
import msgspec

from schemas.flags import Decision
from streams import topics
from streams.record import Record
from streams.settings import load
from streams.tail import tail

CHOICES = {"flags": topics.RAISED, "bundles": topics.BUNDLE, "samples": topics.SAMPLE}


@click.command()
@click.option("--topic", type=click.Choice(list(CHOICES)), default="flags", show_default=True)
@click.option("--from-beginning", is_flag=True, help="Start with the oldest record instead of the next one.")
@click.option("--json", "as_json", is_flag=True, help="Print each record's value as it is, one a line.")
def command(topic: str, from_beginning: bool, as_json: bool) -> None:
    """Follow published results until Ctrl-C."""
    stopped = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    for record in tail(load().kafka, [CHOICES[topic]], stop=lambda: stopped, from_beginning=from_beginning):
        if as_json:
            sys.stdout.buffer.write((record.value or b"") + b"\n")
            sys.stdout.buffer.flush()
        else:
            click.echo(summary(topic, record))


def summary(topic: str, record: Record) -> str:
    """One line a record: its place, its id, and what it says in brief."""
    place = f"{record.topic}/{record.partition}/{record.offset}"
    if topic != "flags" or record.value is None:
        return f"{place}  {dict(record.headers).get('ce_id', b'').decode()}  {len(record.value or b'')} bytes"
    decision = msgspec.json.decode(record.value, type=Decision)
    found = decision.findings
    line = f"{place}  {found.kind}  {len(found.mentions)} mentions, {len(found.facts)} facts"
    return "\n".join([line, *(f"    {flag.severity.upper()}  {flag.type}: {flag.summary}" for flag in decision.flags)])
