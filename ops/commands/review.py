"""``wardstream review``: samples reviewed on a page of ours or in another tool, and what the reviewers make of them."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import uuid
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import click
import msgspec
from rich.console import Console
from rich.table import Table

from ops.audited import Act, audit_entry, refused
from ops.cli import EXIT_FAILED
from ops.commands.keys import write_secret
from ops.operators import has_role, named, no_role
from ops.review import doccano, label_studio
from ops.review.accounts import NAME, Pseudonyms, row
from ops.review.agreement import agreement as agreement_of
from ops.review.follow import read_all
from ops.review.server import make_queue
from ops.review.tools import labels_of
from ops.review.verdicts import Guideline, outputs
from schemas.errors import ConfigurationError
from schemas.labels import ReviewedLabel
from streams.producer import Producer
from streams.settings import Settings, load
from training.data.errors import DataError

Tool = Literal["label-studio", "doccano"]

_PURPOSE = "HOPERAT"
_FORMAT = click.option("--format", "tool", type=click.Choice(["label-studio", "doccano"]), required=True, help="Whose format.")
_AGENT = click.option("--agent", help="Who does it, where several people share this account.")


@click.group()
def command() -> None:
    """Samples to review: a page for reviewers, Label Studio and doccano in its place, agreement between reviewers."""


@command.command()
def serve() -> None:
    """Serve the annotation page (settings: section review) until SIGTERM."""
    from ops.review.server import run

    sys.exit(run(load()))


@command.command()
@click.argument("name")
@click.option("--adjudicator", is_flag=True, help="May also settle what others disagree on.")
def add(name: str, adjudicator: bool) -> None:
    """Give the reviewer NAME a token, shown once; a name that is there gets a new one. Makes review.key_file where it is missing."""
    review = load().review
    if not NAME.fullmatch(name):
        raise click.UsageError("NAME has letters, digits and . _ @ -, at most 64")
    if review.reviewers_file is None or review.key_file is None:
        raise ConfigurationError(path="review.reviewers_file", detail="set it and review.key_file")
    if not review.key_file.exists():
        write_secret(review.key_file, secrets.token_urlsafe(48))
    token, kept = secrets.token_urlsafe(32), []
    if review.reviewers_file.exists():
        kept = [line for line in review.reviewers_file.read_text().splitlines() if line.partition(":")[0] != name]
    fresh = review.reviewers_file.with_name(review.reviewers_file.name + ".new")
    fresh.unlink(missing_ok=True)
    write_secret(fresh, "\n".join([*kept, row(name, "adjudicator" if adjudicator else "reviewer", token)]))
    os.replace(fresh, review.reviewers_file)
    click.echo(f"{Pseudonyms.load(review.key_file).of(name)} in labels; the token, for the reviewer alone:", err=True)
    click.echo(token)


@command.command()
@_FORMAT
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--limit", type=click.IntRange(1), help="So many samples at most, the most informative first.")
@_AGENT
def export(tool: Tool, out: Path, limit: int | None, agent: str | None) -> None:
    """Write what is still to be reviewed to the file OUT (mode 0600), with the model's spans and gold questions among them.

    For Label Studio also its labelling configuration, OUT with the ending .xml. Needs the role operators.review; audited.
    """
    settings = load()
    queue = read_all(settings.kafka, make_queue(settings.review))
    samples = queue.export(limit)
    if out.exists():
        raise click.ClickException("the file exists; nothing was written")
    act = _act(agent)
    if not asyncio.run(_may(settings, "export", act, f"{len(samples)} samples")):
        raise no_role("review")
    if tool == "label-studio":
        write_secret(out, json.dumps([label_studio.task(sample) for sample in samples], ensure_ascii=False, indent=1))
        out.with_suffix(".xml").write_text(label_studio.config())
    else:
        write_secret(out, "\n".join(json.dumps(doccano.row(sample), ensure_ascii=False) for sample in samples))
    click.echo(f"{len(samples)} samples")


@command.command("import")
@_FORMAT
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--reviewer", help="Who gave all of them; needed for doccano, which does not say.")
@click.option("--guideline", "version", help="Version of the guideline that was followed (default: the one of the settings).")
@click.option(
    "--assertions/--no-assertions",
    default=True,
    show_default=True,
    help="The tool asked for assertions: a span without one is present, current, the patient's. doccano never does.",
)
@_AGENT
def import_(tool: Tool, file: Path, reviewer: str | None, version: str | None, assertions: bool, agent: str | None) -> None:
    """Bring an export of the tool in as reviewed labels. The limits against poisoning hold for them too.

    Refused, counted, and exit 1: samples that are not on their topic any more, texts that were changed, spans outside of them. Needs the role
    operators.review; audited.
    """
    settings = load()
    if tool == "doccano" and reviewer is None:
        raise click.UsageError("doccano does not say who annotated: --reviewer")
    now = datetime.now(UTC)
    act = _act(agent)
    if not asyncio.run(_may(settings, "review", act)):
        raise no_role("review")
    queue = read_all(settings.kafka, make_queue(settings.review))
    reader = label_studio.read if tool == "label-studio" else doccano.read
    try:
        annotated = list(reader(file))
    except DataError as error:
        raise click.ClickException(str(error)) from None
    labels, left = labels_of(
        annotated,
        queue.find,
        Pseudonyms.load(settings.review.key_file),
        guideline=version or Guideline.load(settings.review.guideline).version,
        now=now.isoformat(timespec="milliseconds"),
        judged=assertions and tool == "label-studio",
        reviewer=reviewer,
    )
    asyncio.run(_store(settings, labels, act))
    for label in labels:
        queue.keep(label)
    aside = Counter(one.reason for one in queue.trusted().put_aside if one.label in labels and one.reason != "gold_question")
    click.echo(f"{len(labels)} labels")
    for reason, number in sorted(aside.items()):
        click.echo(f"{number} put aside for now: {reason}")
    for why, number in sorted(left.items()):
        click.echo(f"{number} refused: {why}", err=True)
    if left:
        raise SystemExit(EXIT_FAILED)


@command.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def agreement(as_json: bool) -> None:
    """Kappa and span F1 by pair of reviewers, their standing, and why labels are left out of training."""
    settings = load()
    queue = read_all(settings.kafka, make_queue(settings.review))
    pairs, trusted = agreement_of(queue.labels()), queue.trusted()
    standings = sorted(trusted.standings.values(), key=lambda one: one.reviewer)
    left_out = Counter(one.reason for one in trusted.put_aside)
    if as_json:
        found = {
            "pairs": pairs,
            "standings": standings,
            "kept": len(trusted.kept),
            "left_out": dict(left_out),
            "disputed": queue.disputed(),
        }
        click.echo(msgspec.json.encode(found).decode())
        return
    console = Console(width=None if Console().is_terminal else 160)
    table = Table("reviewers", "notes", "type", "kappa", "F1 exact", "F1 touching")
    for pair in pairs:
        for number, kind in enumerate(pair.types):
            names = ("", "") if number else (f"{pair.first}, {pair.second}", str(pair.samples))
            table.add_row(*names, kind.type, _shown(kind.kappa), _shown(kind.exact), _shown(kind.overlap))
    console.print(table)
    table = Table("reviewer", "labels", "gold answers", "gold F1", "deletions z", "additions z", "put aside for")
    for one in standings:
        shown = (_shown(value) for value in (one.gold_f1, one.deletions_z, one.additions_z))
        table.add_row(one.reviewer, str(one.labels), str(one.gold_answers), *shown, one.reason)
    console.print(table)
    click.echo(f"{len(trusted.kept)} labels may teach; left out: {dict(left_out) or 'none'}")


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _act(agent: str | None) -> Act:
    return Act(str(uuid.uuid4()), named(agent), _PURPOSE, datetime.now(UTC))


async def _may(settings: Settings, action: Literal["export", "review"], act: Act, record: str = "") -> bool:
    """Whether the account has the role. What goes out is audited here, what comes in with each label."""
    log = Producer(settings.kafka, client_id="wardstream-review")
    try:
        if not has_role(settings, "review"):
            await refused(log, action, act)
            return False
        if action == "export":
            await log.produce(audit_entry(act, action, "success", record=record))
        return True
    finally:
        await log.close()


async def _store(settings: Settings, labels: list[ReviewedLabel], act: Act) -> None:
    log = Producer(settings.kafka, client_id="wardstream-review")
    try:
        for label in labels:
            for output in outputs(label, act):
                await log.produce(output)
    finally:
        await log.close()
