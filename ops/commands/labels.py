"""``wardstream labels``: samples and reviewed labels from the topics into a store, and out of it for people and for training."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections import Counter
from datetime import UTC, datetime
from typing import IO, Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from ops.audited import Act
from ops.operators import has_role, named, no_role
from streams.settings import load

_STORE = click.option("--store", help="fsspec address, in place of the setting labels.store.")
_JSON = click.option("--json", "as_json", is_flag=True)


@click.group()
def command() -> None:
    """The store of samples and reviewed labels: collect, show, export, propose, models."""


def _open(address: str | None) -> Any:
    from training.label_store.store import LabelStore

    return LabelStore(address or load().labels.store)


@command.command()
@_STORE
@_JSON
def collect(store: str | None, as_json: bool) -> None:
    """Read the topics from where the last run ended to their end, and keep what is new. Run it as often as you like.

    Notes that the second leak check suspects stay out and are counted; records withdrawn from the topics and erased patients are taken out.
    """
    from agents.second_check import second_check
    from ops.loop.collecting import collect as run

    settings = load()
    done = run(settings.kafka, _open(store), second_check(settings.deid), datetime.now(UTC))
    if as_json:
        models = [f"{one.name} {one.version}" for one in done.models]
        click.echo(
            json.dumps(
                {
                    "added": done.added,
                    "withdrawn": done.withdrawn,
                    "erased": done.erased,
                    "passed_over": done.passed_over,
                    "models": models,
                }
            )
        )
        return
    click.echo(f"{done.added} added, {done.withdrawn} withdrawn, {done.erased} of erased patients taken out")
    for why, count in sorted(done.passed_over.items()):
        click.echo(f"{count} passed over: {why}")
    for one in done.models:
        click.echo(f"saw an erased patient: {one.name} {one.version} {one.bundle[:12]}")


@command.command()
@_STORE
@_JSON
def show(store: str | None, as_json: bool) -> None:
    """How many samples by reason and labels by reviewer, days, and the digest that a bundle's manifest names. Every part is verified."""
    opened = _open(store)
    manifest = opened.manifest()
    samples, labels = opened.samples(), opened.labels(manifest)
    days = sorted({part.path.split("/")[1].removeprefix("day=") for part in manifest.parts})
    said = {
        "digest": manifest.digest,
        "parts": len(manifest.parts),
        "days": [days[0], days[-1]] if days else [],
        "samples": dict(sorted(Counter(sample.reason for sample in samples).items())),
        "weak": dict(sorted(Counter(outcome for sample in samples for outcome in sample.weak.values()).items())),
        "labels": dict(sorted(Counter(label.reviewer for label in labels).items())),
        "labelled": len({label.sample for label in labels}),
        "erased": len(manifest.erased),
    }
    if as_json:
        click.echo(json.dumps(said, indent=2))
        return
    table = Table("what", "which", "count")
    for what in ("samples", "weak", "labels"):
        for which, count in said[what].items():
            table.add_row(what, which, str(count))
    Console().print(table)
    click.echo(
        f"{len(samples)} samples, {said['labelled']} labelled; {len(manifest.parts)} parts, {' to '.join(days[:1] + days[-1:])}"
    )
    click.echo(f"{said['erased']} erased patients; digest {manifest.digest}")


@command.command()
@_STORE
@click.option("--kind", type=click.Choice(["label", "sample"]), default="label", show_default=True)
@click.option("--out", type=click.File("wb"), default="-", help="Default: standard output.")
def export(store: str | None, kind: str, out: IO[bytes]) -> None:
    """Records as JSON Lines: the newest verdict of each reviewer on each sample, or the newest record of each sample."""
    opened = _open(store)
    for record in opened.labels() if kind == "label" else opened.samples():
        out.write(msgspec.json.encode(record, order="deterministic") + b"\n")


@command.command()
@click.argument("name")
@click.option("--most", type=click.IntRange(1, 10_000), default=50, show_default=True, help="The notes that differ most.")
@click.option("--agent", help="Who proposes, where several people share this account.")
def propose(name: str, most: int, agent: str | None) -> None:
    """Propose for review the notes on which the shadow NAME (wardstream replay run) says otherwise than what was published.

    They pass the second leak check and the policy's budgets like any other. Needs the role operators.redrive; audited.
    """
    from ops.loop.proposing import propose as run

    settings = load()
    act = Act(str(uuid.uuid4()), named(agent), "HOPERAT", datetime.now(UTC))
    found = asyncio.run(run(settings, name, most, act, allowed=has_role(settings, "redrive")))
    if found is None:
        raise no_role("redrive")
    click.echo(f"{found.proposed} of {found.differing} notes that differ proposed")
    for why, count in sorted(found.withheld.items()):
        click.echo(f"{count} withheld: {why}")


@command.command()
@_STORE
@_JSON
def models(store: str | None, as_json: bool) -> None:
    """Bundles that learned from the store, and which of them saw a patient who was erased since. Exit 1 where one did."""
    found = sorted(_open(store).manifest().trained.values(), key=lambda one: (one.name, one.time))
    if as_json:
        rows = [
            {
                "name": one.name,
                "version": one.version,
                "bundle": one.bundle,
                "store": one.store,
                "labels": one.labels,
                "erased": one.erased,
            }
            for one in found
        ]
        click.echo(json.dumps(rows, indent=2))
    else:
        table = Table("model", "version", "bundle", "labels", "saw an erased patient")
        for one in found:
            table.add_row(one.name, one.version, one.bundle[:12], str(one.labels), ", ".join(sorted(one.erased.values())) or "no")
        Console().print(table)
    if any(one.erased for one in found):
        sys.exit(1)
